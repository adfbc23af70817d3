"""The container that Vertex AI serves a tuned model with: its image, routes and resources.

No probes are named: those that Vertex AI has by itself suit a server that listens from its start,
while it loads the model, and whose health route answers 200 once the model does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from google.cloud.aiplatform_v1.types import EnvVar, ModelContainerSpec, Port

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.upload.serving_machines import needs_accelerator

# Vertex AI gives them to the server, which listens where it is told.
_PREDICT_ROUTE = "/predict"
_HEALTH_ROUTE = "/health"
_PORT = 8080
# Of the GPU image. Its processes, one a GPU, exchange tensors through shared memory; hundreds of
# gigabytes of weights take longer to load than Vertex AI waits by itself. It ends before the task
# that deploys stops waiting, so that Vertex AI tells what was wrong.
_SHARED_MEMORY_MB = 16 * 1024
_DEPLOYMENT_TIMEOUT = timedelta(minutes=90)


@dataclass(frozen=True)
class ServingImages:
    """The images of the prediction server.

    Attributes:
        cpu: For machines without GPUs.
        gpu: For machines with GPUs.
    """

    cpu: str
    gpu: str


def container_spec(
    images: ServingImages, megabytes: int, environment: Mapping[str, str]
) -> ModelContainerSpec:
    """Describes the container of a model.

    Args:
        images: The server's images.
        megabytes: What the weights weigh: it decides on the machine, and so on the image.
        environment: Variables of the container.

    Returns:
        What the model is registered with.

    Raises:
        UserError: If there is no image for the machine that will hold the weights.
    """
    on_gpu = needs_accelerator(megabytes)
    name, image = ("serving_gpu_image", images.gpu) if on_gpu else ("serving_image", images.cpu)
    if not image:
        raise UserError(Problem("no image serves the model.", name, "an image in a registry"))
    spec = ModelContainerSpec(
        image_uri=image,
        predict_route=_PREDICT_ROUTE,
        health_route=_HEALTH_ROUTE,
        ports=[Port(container_port=_PORT)],
        env=[EnvVar(name=variable, value=value) for variable, value in environment.items()],
    )
    if on_gpu:
        spec.shared_memory_size_mb = _SHARED_MEMORY_MB
        spec.deployment_timeout = _DEPLOYMENT_TIMEOUT
    return spec
