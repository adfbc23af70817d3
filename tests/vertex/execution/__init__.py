"""Really runs what is submitted to the local Vertex AI: pipelines, custom jobs, predictions."""

from tests.vertex.execution.custom_job import start_custom_job
from tests.vertex.execution.pipeline import start_pipeline
from tests.vertex.execution.prediction import predict

__all__ = ["predict", "start_custom_job", "start_pipeline"]
