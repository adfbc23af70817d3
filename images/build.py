"""Builds the container images with whichever of docker, podman and buildah works here."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, UserError, exit_on_error
from kfp_llm_tuning.components.common.images import image_name

IMAGES = Path(__file__).parent
# The program, and the arguments with which it tells whether it can build.
ENGINES = {"docker": ["info"], "podman": ["info"], "buildah": ["version"]}
_ARGUMENT = re.compile(r"^ARG (\w+)", re.MULTILINE)


def kinds() -> list[str]:
    """Lists the images: the folders that have a container file."""
    return sorted(path.parent.name for path in IMAGES.glob("*/Containerfile"))


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


def build_command(engine: str, kind: str, registry: str) -> list[str]:
    """Writes the command that builds an image.

    Its build arguments may be set in the environment.

    Args:
        engine: A name of ``ENGINES``.
        kind: The image's folder.
        registry: Where the image will be pushed to.

    Returns:
        The command, to be run in the repository's root.
    """
    file = IMAGES / kind / "Containerfile"
    known = _ARGUMENT.findall(file.read_text(encoding="utf-8"))
    given = [f"--build-arg={name}={os.environ[name]}" for name in known if name in os.environ]
    tag = image_name(kind, registry)
    return [engine, "build", f"--file={file}", f"--tag={tag}", *given, str(IMAGES.parent)]


def main() -> None:
    """Builds every image, and pushes them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("registry", help="for example REGION-docker.pkg.dev/PROJECT/REPOSITORY")
    parser.add_argument("--push", action="store_true", help="push the images when all are built")
    options = parser.parse_args()
    with exit_on_error():
        if not options.registry:
            raise UserError(
                Problem(
                    "no registry is given.",
                    fix="make images IMAGE_REGISTRY=REGION-docker.pkg.dev/PROJECT/REPOSITORY",
                )
            )
        engine = find_engine()
        commands = [build_command(engine, kind, options.registry) for kind in kinds()]
        if options.push:
            commands += [[engine, "push", image_name(kind, options.registry)] for kind in kinds()]
        for command in commands:
            if code := _run(command):
                raise UserError(Problem(f"{' '.join(command)} ended with exit code {code}."))


def _run(command: list[str], *, quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, stdout=output, stderr=output, check=False).returncode


if __name__ == "__main__":
    main()
