"""Really runs what is sent to the local Kubeflow Pipelines."""

from tests.kubeflow.execution.start import start_run

__all__ = ["start_run"]
