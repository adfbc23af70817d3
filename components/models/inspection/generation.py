"""Whether the settings of generation_config.json can be read, and saved with the tuned model."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.models.checkpoint_files import GENERATION_CONFIG
from kfp_llm_tuning.components.models.generation_settings import savable_settings
from kfp_llm_tuning.components.models.inspection.findings import Inspection
from kfp_llm_tuning.components.models.quiet import quiet_transformers


def check_generation(content: Mapping[str, Any], place: str, found: Inspection) -> None:
    """Checks the settings; nothing where transformers is not installed.

    Args:
        content: generation_config.json.
        place: Names the checkpoint in messages.
        found: Takes what is found.
    """
    if find_spec("transformers") is None:
        return
    from transformers import GenerationConfig

    where = f"{place}/{GENERATION_CONFIG}"
    try:
        with quiet_transformers():
            settings = GenerationConfig(**content)
    except Exception as error:
        reason = " ".join(str(error).split())
        fix = "Take that setting out of the file: the tuned model does not need it."
        found.problems.append(Problem(f"cannot be read by transformers: {reason}", where, fix=fix))
        return
    if dropped := savable_settings(settings)[1]:
        found.notes.append(dropped_settings(dropped, where))


def dropped_settings(names: list[str], where: str) -> Problem:
    """Tells which settings the tuned model will not have.

    Args:
        names: As of `savable_settings`.
        where: Names generation_config.json.

    Returns:
        The message.
    """
    return Problem(
        f"has settings without a meaning beside the others, which cannot be saved: "
        f"{', '.join(names)}. The tuned model is saved without them.",
        where,
    )
