"""Compiled templates: read, checked, and looked into."""
