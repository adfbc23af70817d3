"""The images that the stand-ins can pull, and what they hold: those of the project's own table.

A container is started only if its image is here and holds an engine for what its machine has. So
what is green here names images that are built, and runs on a machine that is made use of.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from kfp_llm_tuning.components import __version__
from kfp_llm_tuning.components.common import images
from kfp_llm_tuning.components.models.implemented import image_kinds
from kfp_llm_tuning.components.tuning.engine import ENGINE_VARIABLE, JAX

# Where the tests' images are; any other registry has them too.
REGISTRY = "us-docker.pkg.dev/test-project/images"
IMAGE = images.image_name("python", REGISTRY)
SERVING_IMAGE = images.image_name("serving", REGISTRY)

# What `make test-tpu` makes: the environment of the image of TPUs.
TPU_PYTHON = Path(__file__).parents[2] / "build" / "tpu" / "bin" / "python3"

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
        return _tpu_error(image, accelerator)
    if accelerator and _kind(image) not in ("", *image_kinds("GPU")):
        return f'The image "{image}" holds no engine for {accelerator}.'
    return ""


def _tpu_error(image: str, accelerator: str) -> str:
    """What keeps a container from work on TPUs, of which JAX simulates eight chips here."""
    if _kind(image) not in image_kinds("TPU"):
        return f"There is no {accelerator} here, and no image that makes use of one."
    if not TPU_PYTHON.is_file():
        return f"There is no {accelerator} here to simulate: `make test-tpu` makes {TPU_PYTHON}."
    return ""


def image_environment(image: str) -> dict[str, str]:
    """What an image's own environment is here, beside that of this process.

    Args:
        image: Its name.

    Returns:
        The variables of the image of TPUs: its interpreter first, its engine, simulated devices;
        nothing for the other images, which this Python stands for.
    """
    if _kind(image) not in image_kinds("TPU"):
        return {}
    return {
        "PATH": f"{TPU_PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        ENGINE_VARIABLE: JAX,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }


def _kind(image: str) -> str:
    """The target of images/Containerfile that an image of ours is; empty for images of others."""
    found = _OURS.fullmatch(image.rpartition(":")[0])
    return found["kind"] if found else ""
