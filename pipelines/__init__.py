"""Pipelines composed from the components, and the command that runs them."""
