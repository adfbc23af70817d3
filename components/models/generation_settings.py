"""The settings of generation_config.json: which of them transformers saves again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import GenerationConfig

# What decides whether other settings have a meaning: temperature has none without do_sample.
_MODES = ("do_sample", "num_beams", "return_dict_in_generate", "use_cache")


def savable_settings(settings: GenerationConfig) -> tuple[GenerationConfig, list[str]]:
    """Leaves out what cannot be saved: transformers reads such settings, and refuses to write them.

    Args:
        settings: As a checkpoint has them; not changed.

    Returns:
        The settings without those that have no meaning beside the others, and the names of what
        was left out.
    """
    from transformers import GenerationConfig

    given: dict[str, Any] = settings.to_diff_dict()
    kept: dict[str, Any] = {}
    for name in sorted(given, key=lambda name: name not in _MODES):
        if _is_savable({**kept, name: given[name]}):
            kept[name] = given[name]
    return GenerationConfig(**kept), [name for name in given if name not in kept]


def _is_savable(values: dict[str, Any]) -> bool:
    from transformers import GenerationConfig

    try:
        GenerationConfig(**values).validate(strict=True)
    except (ValueError, TypeError, AttributeError):
        return False
    return True
