"""What ``plan`` looks at before a run on a Kubeflow cluster."""
