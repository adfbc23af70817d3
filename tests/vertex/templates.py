"""The checked-in templates, filled with the registry that the stand-ins pull images from."""

from __future__ import annotations

import os
from pathlib import Path

from kfp_llm_tuning.components.common import images
from tests.vertex.images import REGISTRY

_REPOSITORY = Path(__file__).parents[2]


def templates_with_registry() -> Path:
    """Writes the templates as a user does who was told only where the images are.

    Returns:
        Their folder.
    """
    folder = _REPOSITORY / "build" / "templates-for-tests"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (_REPOSITORY / "compiled" / "vertex").glob("*.yaml"):
        text = path.read_text(encoding="utf-8").replace(images.REGISTRY, REGISTRY)
        # Whole at every moment: another run of the tests may be reading it.
        written = folder / f".{path.name}.{os.getpid()}"
        written.write_text(text, encoding="utf-8")
        written.replace(folder / path.name)
    return folder
