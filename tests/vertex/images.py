"""The images that the stand-ins can pull, and what they hold: those of the project's own table.

A container is started only if its image is here and holds an engine for what its machine has. So
what is green here names images that are built, and runs on a machine that is made use of.
"""

from __future__ import annotations

import re

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.components.common import images
from kfp_llm_tuning.components.models.implemented import image_kinds

# Where the tests' images are; any other registry has them too.
REGISTRY = "us-docker.pkg.dev/test-project/images"
IMAGE = images.image_name("python", REGISTRY)
SERVING_IMAGE = images.image_name("serving", REGISTRY)

_OURS = re.compile(r"[a-z0-9.-]+\.[a-z]+(:\d+)?(/[a-z0-9._-]+)*/kfp-llm-tuning-(?P<kind>[a-z-]+)")
# Those that the SDK of Kubeflow Pipelines and Google's own components run in.
_OTHERS = re.compile(r"python:3\.\d+(-slim)?|gcr\.io/ml-pipeline/[a-z-]+:[\w.-]+")


def pull_error(image: str) -> str:
    """What a machine says of an image that it cannot pull.

    Args:
        image: Its name.

    Returns:
        The message; empty where it can.
    """
    if _OTHERS.fullmatch(image):
        return ""
    if _kind(image) in image_kinds() and image.endswith(f":{__version__}"):
        return ""
    return f'Failed to pull image "{image}": not found.'


def start_error(image: str, accelerator: str) -> str:
    """What keeps a container from doing its work on a machine.

    Args:
        image: The image's name.
        accelerator: The machine's, as Vertex AI or Kubernetes calls it; empty for none.

    Returns:
        The message; empty where nothing does.
    """
    if error := pull_error(image):
        return error
    if "tpu" in accelerator.lower():
        return f"There is no {accelerator} here, and no image that makes use of one."
    if accelerator and _kind(image) not in ("", *image_kinds("GPU")):
        return f'The image "{image}" holds no engine for {accelerator}.'
    return ""


def _kind(image: str) -> str:
    """The target of images/Containerfile that an image of ours is; empty for images of others."""
    found = _OURS.fullmatch(image.rpartition(":")[0])
    return found["kind"] if found else ""
