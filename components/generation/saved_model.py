"""What a saved model's folder tells of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.manifest import COPY_AGAIN

PROVENANCE_FILE = "tuning.json"


def read_provenance(saved_model: Path) -> dict[str, Any]:
    """Reads how a model was tuned.

    Args:
        saved_model: Folder of the tuned model in Hugging Face layout.

    Returns:
        The contents of ``tuning.json``; empty for a model that another tool tuned.

    Raises:
        UserError: If the folder holds no model, or its tuning.json is damaged.
    """
    if not (saved_model / "config.json").is_file():
        raise UserError(
            Problem(
                f"no model in {saved_model}: config.json is missing.",
                where="saved_model",
                allowed="a folder in Hugging Face layout",
            )
        )
    path = saved_model / PROVENANCE_FILE
    if not path.is_file():
        return {}
    try:
        provenance: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        problem = Problem(f"{path} is damaged: {error}.", "saved_model", fix=COPY_AGAIN)
        raise UserError(problem) from error
    return provenance
