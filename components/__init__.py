"""Reusable Kubeflow Pipelines components for tuning large language models, a folder a stage."""

from importlib.metadata import version

# Of the package and of each of its components, which are released together.
__version__ = version("kfp-llm-tuning")
