"""Saves all of a model but its weights, to see before the first step that it can be done."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.folders import scratch_folder
from kfp_llm_tuning.components.models.causal_model import load_config
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer
from kfp_llm_tuning.components.tuning.export import saved_settings


def try_saving(
    model: Any, tokenizer: Any, stop_token_ids: list[int], max_output_tokens: int, target: Path
) -> None:
    """Saves configuration, generation settings and tokenizer beside the target, and reads them.

    Args:
        model: The base model; not changed.
        tokenizer: Its tokenizer.
        stop_token_ids: As of `export.saved_settings`.
        max_output_tokens: As of `export.saved_settings`.
        target: Where the tuned model will be.

    Raises:
        UserError: If the folder cannot be written to, or transformers refuses to save or to read
            again what the checkpoint holds.
    """
    try:
        with scratch_folder(target.parent, f".{target.name}.trial-") as folder:
            copy.deepcopy(model.config).save_pretrained(folder)
            settings = saved_settings(model, tokenizer, stop_token_ids, max_output_tokens)
            settings.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            load_config(folder)
            load_tokenizer(folder)
    except OSError as error:
        raise UserError(
            Problem(
                f"cannot write to {target.parent}: {error.strerror or error}.",
                "output",
                "a folder that can be written to",
            )
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(
            Problem(
                f"the tuned model could not be saved: {reason}",
                "large_model_reference",
                fix="Mend that in the files of the checkpoint, or choose another.",
            )
        ) from error
