"""Whether a configuration is that of a causal language model, which transformers can make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.wording import nearest, short
from kfp_llm_tuning.components.models.implemented import implementations
from kfp_llm_tuning.components.models.inspection.findings import Inspection

_ALLOWED = "a decoder-only language model"
_CHOOSE = "Choose one with an architecture such as LlamaForCausalLM or Qwen3ForCausalLM."
# How transformers ends the names of classes that write text.
_WRITING = ("ForCausalLM", "LMHeadModel", "WithLMHead", "LMHead", "ForConditionalGeneration")
_TOWERS = ("vision_config", "audio_config", "visual")


def check_architecture(config: Mapping[str, Any], where: str, found: Inspection) -> None:
    """Checks which model a configuration describes.

    Args:
        config: config.json.
        where: Names it in messages.
        found: Takes what is found.
    """
    problems = list(_problems(config, where))
    found.problems += problems
    if not problems and any(name in config for name in _TOWERS):
        found.notes.append(
            Problem(
                "has parts for pictures or sounds: they stay as they are, and only what text "
                "passes through is tuned.",
                where,
            )
        )


def _problems(config: Mapping[str, Any], where: str) -> Iterator[Problem]:
    family, names = config.get("model_type"), config.get("architectures") or []
    if not isinstance(family, str) or not isinstance(names, list):
        yield Problem("names no model_type.", where, _ALLOWED, _CHOOSE)
        return
    named = ", ".join(map(str, names)) or family
    if config.get("is_encoder_decoder"):
        what = f"describes an encoder-decoder model ({named}): its answers are tuned otherwise."
        yield Problem(what, where, _ALLOWED, _CHOOSE)
    elif names and not any(_writes_text(name) for name in names):
        what = f"describes a model that writes no text ({named})."
        yield Problem(what, where, _ALLOWED, _CHOOSE)
    elif find_spec("transformers") is not None and (what := _unknown(family, names)):
        yield Problem(what, where, _ALLOWED, _CHOOSE)
    elif not implementations("tune", family=family):
        yield Problem(f"describes a {family}, which nothing here tunes.", where, _ALLOWED, _CHOOSE)


def _writes_text(name: object) -> bool:
    return isinstance(name, str) and any(ending in name for ending in _WRITING)


def _unknown(family: str, names: list[Any]) -> str:
    from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES

    release = f"transformers {version('transformers')}"
    if family not in CONFIG_MAPPING_NAMES:
        near = nearest(family, CONFIG_MAPPING_NAMES)
        hint = f" (it has {near})" if near else ""
        return f"describes a {short(family)}, an architecture that {release} does not have{hint}."
    if any(str(name).endswith("ForCausalLM") for name in names):
        return ""
    # Only the rare rest is worth the import of torch.
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return ""
    return f"describes a {family!r}, which {release} does not load as a causal language model."
