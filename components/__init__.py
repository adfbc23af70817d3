"""Reusable Kubeflow Pipelines components for tuning large language models, a folder a stage."""
