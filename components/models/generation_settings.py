"""The settings of generation_config.json: which of them transformers saves again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.models.checkpoint_files import CONFIG

if TYPE_CHECKING:
    from transformers import GenerationConfig

# What decides whether other settings have a meaning: temperature has none without do_sample.
_MODES = ("do_sample", "num_beams", "return_dict_in_generate", "use_cache")


def load_settings(folder: Path) -> GenerationConfig:
    """Loads a checkpoint's settings as transformers does with its weights.

    Args:
        folder: A checkpoint in Hugging Face layout.

    Returns:
        Those of generation_config.json; without one, what config.json has of them.
    """
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        return GenerationConfig.from_pretrained(
            folder, config_file_name=CONFIG, local_files_only=True, _from_model_config=True
        )


def savable_settings(settings: GenerationConfig) -> tuple[GenerationConfig, list[str]]:
    """Leaves out what cannot be saved: transformers reads such settings, and refuses to write them.

    Args:
        settings: As a checkpoint has them; not changed.

    Returns:
        The settings without those that have no meaning beside the others, and the names of what
        was left out.
    """
    from transformers import GenerationConfig

    kept, dropped = GenerationConfig(), []
    for name in sorted(settings.to_diff_dict(), key=lambda name: name not in _MODES):
        more = copy.deepcopy(kept)
        setattr(more, name, getattr(settings, name))
        if _is_savable(more):
            kept = more
        else:
            dropped.append(name)
    return kept, dropped


def _is_savable(settings: GenerationConfig) -> bool:
    try:
        settings.validate(strict=True)
    except (ValueError, TypeError, AttributeError):
        return False
    return True
