"""The pipelines as KFP graphs, built for a platform and compiled to YAML."""
