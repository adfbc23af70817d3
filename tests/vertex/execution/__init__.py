"""Really runs what is submitted to the local Vertex AI: pipelines, custom jobs, deployed models."""

from tests.vertex.execution.custom_job import start_custom_job
from tests.vertex.execution.pipeline import start_pipeline
from tests.vertex.execution.serving_container import start_container

__all__ = ["start_container", "start_custom_job", "start_pipeline"]
