"""Kubeflow: what the pipelines ask of a cluster, and what differs from one cluster to another."""
