"""Saves all of a model but its weights, to see before the first step that it can be done."""

from __future__ import annotations

from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.folders import scratch_folder
from kfp_llm_tuning.components.models.causal_model import load_config
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer
from kfp_llm_tuning.components.tuning.export import Completions


def try_saving(completions: Completions, target: Path) -> None:
    """Saves configuration, generation settings and tokenizer beside the target, and reads them.

    Args:
        completions: How the model writes.
        target: Where the tuned model will be.

    Raises:
        UserError: If the folder cannot be written to, or transformers refuses to save or to read
            again what the checkpoint holds.
    """
    try:
        with scratch_folder(target.parent, f".{target.name}.trial-") as folder:
            load_config(completions.base).save_pretrained(folder)
            completions.save(folder)
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
