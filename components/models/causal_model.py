"""Loads a checkpoint's weights as a causal language model: whole, or with the reason why not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.wording import first_few
from kfp_llm_tuning.components.models.quiet import quiet_transformers

if TYPE_CHECKING:
    import torch


def load_causal_model(folder: Path, dtype: torch.dtype, kind: Any = None, **options: Any) -> Any:
    """Loads a model; safetensors only, and no code of its own.

    Args:
        folder: A folder that `check_whole` has passed.
        dtype: Type of the weights in memory.
        kind: The model's class; None leaves it to the configuration.
        **options: Further ones of ``from_pretrained``, such as where the weights are put.

    Returns:
        A transformers model that writes text, on the CPU where no option says another place.

    Raises:
        UserError: If transformers cannot make a model of it, or weights that the model needs are
            missing: transformers would draw them at random.
    """
    from torch import OutOfMemoryError
    from transformers import AutoModelForCausalLM

    try:
        with quiet_transformers():
            model, told = (kind or AutoModelForCausalLM).from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except (MemoryError, OutOfMemoryError):
        raise
    except Exception as error:
        raise UserError(_unusable(folder, error)) from error
    if missing := sorted(told["missing_keys"]):
        raise UserError(_incomplete(folder, missing))
    return model


def load_config(folder: Path) -> Any:
    """Loads a checkpoint's configuration.

    Args:
        folder: A folder that `check_whole` has passed.

    Returns:
        The transformers configuration.

    Raises:
        UserError: If transformers cannot make one of config.json.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise UserError(_unusable(folder, error)) from error


def _unusable(folder: Path, error: Exception) -> Problem:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Problem(
        f"cannot be loaded by transformers as a causal language model ({reason}).",
        str(folder),
        fix="Copy the model again, or choose another.",
    )


def _incomplete(folder: Path, missing: list[str]) -> Problem:
    return Problem(
        f"lacks {len(missing)} weights that its configuration needs: {first_few(missing)}.",
        str(folder),
        "the whole checkpoint of a causal language model",
        "Copy the model again; a checkpoint without a language-model head cannot be tuned.",
    )
