"""Builds the container images with whichever of docker, podman and buildah works here."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, UserError, exit_on_error
from kfp_llm_tuning.components.common.images import image_name

CONTAINER_FILE = Path(__file__).with_name("Containerfile")
# The program, and the arguments with which it tells whether it can build.
ENGINES = {"docker": ["info"], "podman": ["info"], "buildah": ["version"]}


@dataclass(frozen=True)
class Image:
    """What an image holds.

    Attributes:
        requirements: What pip installs.
        constraints: The file of the versions it may.
        torch_index: Variable that tells where pip finds other builds of torch; empty for none.
        debian_packages: Further packages of the system.
    """

    requirements: str
    constraints: str = "constraints.txt"
    torch_index: str = ""
    debian_packages: str = ""


# By the target of the container file.
IMAGES = {
    "python": Image(".[tuning,wandb,vertex,kubeflow]", torch_index="CPU_TORCH_INDEX"),
    "gpu": Image(".[tuning,gpu,4bit,wandb,vertex,kubeflow]", torch_index="CUDA_TORCH_INDEX"),
    "tpu": Image(
        ".[tpu,wandb,vertex,kubeflow]",
        constraints="constraints-tpu.txt",
        torch_index="CPU_TORCH_INDEX",
    ),
    "serving": Image(".[serving]", torch_index="CPU_TORCH_INDEX"),
    "serving-gpu": Image(
        ".[serving,serving-gpu,kubeflow]",
        constraints="constraints-vllm.txt",
        # Triton, which compiles vLLM's kernels where they first run, calls a C compiler.
        debian_packages="gcc libc6-dev",
    ),
}


def find_engine() -> str:
    """Finds a program that builds images.

    Returns:
        Its name.

    Raises:
        UserError: If there is none that works.
    """
    for engine, probe in ENGINES.items():
        if shutil.which(engine) and not _run([engine, *probe], quiet=True):
            return engine
    raise UserError(
        Problem(
            f"no container engine works here ({', '.join(ENGINES)}).",
            fix="Install or start one, or build with Cloud Build: images/cloudbuild.yaml.",
        )
    )


def build_arguments(kind: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Tells the arguments of the container file.

    Args:
        kind: One of ``IMAGES``.
        environment: May name the base image and where pip finds other builds of torch.

    Returns:
        Values by name.
    """
    image = IMAGES[kind]
    values = {
        "PYTHON_IMAGE": environment.get("PYTHON_IMAGE", ""),
        "REQUIREMENTS": image.requirements,
        "CONSTRAINTS": image.constraints,
        "TORCH_INDEX": environment.get(image.torch_index, ""),
        "DEBIAN_PACKAGES": image.debian_packages,
    }
    return {name: value for name, value in values.items() if value}


def build_command(engine: str, kind: str, registry: str) -> list[str]:
    """Writes the command that builds an image.

    Args:
        engine: A name of ``ENGINES``.
        kind: One of ``IMAGES``.
        registry: Where the image will be pushed to.

    Returns:
        The command, to be run in the repository's root.
    """
    arguments = build_arguments(kind, os.environ).items()
    return [
        engine,
        "build",
        f"--file={CONTAINER_FILE}",
        f"--target={kind}",
        f"--tag={image_name(kind, registry)}",
        *(f"--build-arg={name}={value}" for name, value in arguments),
        str(CONTAINER_FILE.parents[1]),
    ]


def main() -> None:
    """Builds every image, or those that are named, and pushes them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("registry", help="for example REGION-docker.pkg.dev/PROJECT/REPOSITORY")
    parser.add_argument("kinds", nargs="*", help=f"which images: {', '.join(IMAGES)}; all if none")
    parser.add_argument("--push", action="store_true", help="push the images when all are built")
    options = parser.parse_args()
    with exit_on_error():
        kinds = _checked(options.registry, options.kinds)
        engine = find_engine()
        commands = [build_command(engine, kind, options.registry) for kind in kinds]
        if options.push:
            commands += [[engine, "push", image_name(kind, options.registry)] for kind in kinds]
        for command in commands:
            if code := _run(command):
                raise UserError(Problem(f"{' '.join(command)} ended with exit code {code}."))


def _checked(registry: str, kinds: list[str]) -> list[str]:
    if not registry:
        raise UserError(
            Problem(
                "no registry is given.",
                fix="make images IMAGE_REGISTRY=REGION-docker.pkg.dev/PROJECT/REPOSITORY",
            )
        )
    if unknown := [kind for kind in kinds if kind not in IMAGES]:
        raise UserError(Problem(f"no image {', '.join(unknown)}.", allowed=", ".join(IMAGES)))
    return kinds or list(IMAGES)


def _run(command: list[str], *, quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, stdout=output, stderr=output, check=False).returncode


if __name__ == "__main__":
    main()
