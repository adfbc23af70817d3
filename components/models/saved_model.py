"""What a saved model's folder tells of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.checkpoint_files import CONFIG, PROVENANCE
from kfp_llm_tuning.components.models.json_files import read_local_object


def read_provenance(saved_model: Path) -> dict[str, Any]:
    """Reads how a model was tuned.

    Args:
        saved_model: Folder of the tuned model in Hugging Face layout.

    Returns:
        The contents of ``tuning.json``; empty for a model that another tool tuned.

    Raises:
        UserError: If the folder holds no model, or its ``tuning.json`` is damaged.
    """
    if not (saved_model / CONFIG).is_file():
        raise UserError(
            Problem(
                f"no model in {saved_model}: {CONFIG} is missing.",
                where="saved_model",
                allowed="a folder in Hugging Face layout",
            )
        )
    path = saved_model / PROVENANCE
    return read_local_object(path) if path.is_file() else {}
