"""The one table of parameters: what the pipelines and the tuner may be told, and how it is read."""
