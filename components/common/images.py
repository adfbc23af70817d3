"""The container images that the compiled components and the jobs that they start name."""

from __future__ import annotations

from kfp_llm_tuning.components import __version__

# A placeholder that no cluster can pull by mistake: the registry is given when a pipeline is
# compiled, which replaces this word wherever it stands.
REGISTRY = "REGISTRY-NOT-SET"


def image_name(kind: str, registry: str = REGISTRY) -> str:
    """Names one of the project's images.

    Args:
        kind: A target of ``images/Containerfile``.
        registry: Where the images are, such as ``REGION-docker.pkg.dev/PROJECT/REPOSITORY``.

    Returns:
        The full name with its version as tag.
    """
    return f"{registry}/kfp-llm-tuning-{kind}:{__version__}"


# Of every task. "python" in the name keeps kfp.local's SubprocessRunner from warning.
IMAGE = image_name("python")
# Of the prediction server that an uploaded model names, where its machine has no GPU.
SERVING_IMAGE = image_name("serving")
# The same server on a machine with GPUs, where vLLM runs the model.
SERVING_GPU_IMAGE = image_name("serving-gpu")
