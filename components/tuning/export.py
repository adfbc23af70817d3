"""Writes the saved model: merged weights, adapter, tokenizer, card, provenance, manifest."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kfp_llm_tuning.components.common.folders import finished_atomically
from kfp_llm_tuning.components.common.manifest import write_manifest
from kfp_llm_tuning.components.models.causal_model import load_config
from kfp_llm_tuning.components.models.checkpoint_files import PROVENANCE
from kfp_llm_tuning.components.models.generation_settings import savable_settings
from kfp_llm_tuning.components.tuning.exported_weights import (
    architecture,
    write_merged_weights,
    write_shared_weights,
)
from kfp_llm_tuning.components.tuning.trained_weights import has_adapters, weights_to_save

if TYPE_CHECKING:
    from transformers import GenerationConfig

ADAPTER = "adapter"


@dataclass(frozen=True)
class TunedModel:
    """What is exported.

    Attributes:
        model: The trained model; a PEFT model where adapters were tuned. Is changed by the export.
        tokenizer: Its tokenizer.
        dtype: Type of the exported weights: the base model's own.
        stop_token_ids: Tokens that end a completion.
        provenance: Content of tuning.json and of the model card.
        base: The base model's folder, where no process holds its weights whole; else None.
    """

    model: Any
    tokenizer: Any
    dtype: torch.dtype
    stop_token_ids: list[int]
    provenance: dict[str, Any]
    base: Path | None = None


def export_model(tuned: TunedModel, target: Path, *, writes: bool = True) -> None:
    """Writes the saved model, with the manifest by which every reader sees that it is whole.

    Args:
        tuned: What to write.
        target: A folder; replaced as a whole.
        writes: Whether this is the process that writes; others give it what they hold of a model
            that is shared, and must call this too.
    """
    if not writes:
        if tuned.base and not has_adapters(tuned.model):
            write_shared_weights(tuned.model, tuned.base, None, tuned.dtype)
        return
    with finished_atomically(target) as folder:
        if tuned.base:
            _write_from_files(tuned, tuned.base, folder)
        else:
            _write_model(tuned, folder)
        tuned.tokenizer.save_pretrained(folder)
        _let_others_read_weights(folder)
        text = json.dumps(tuned.provenance, indent=2, sort_keys=True, default=str)
        (folder / PROVENANCE).write_text(text + "\n", encoding="utf-8")
        (folder / "README.md").write_text(render_card(tuned.provenance), encoding="utf-8")
        write_manifest(folder)


def _write_model(tuned: TunedModel, folder: Path) -> None:
    merged = _merged(tuned, folder / ADAPTER)
    merged.generation_config = _settings(tuned, merged)
    merged.config.use_cache = True
    merged.save_pretrained(folder)


def _write_from_files(tuned: TunedModel, base: Path, folder: Path) -> None:
    """Writes a model of which no process holds the weights: tensor by tensor."""
    causal = tuned.model
    if has_adapters(tuned.model):
        # Else PEFT would gather the whole model, which other processes know nothing of.
        trained = weights_to_save(tuned.model)
        tuned.model.save_pretrained(folder / ADAPTER, state_dict=trained)
        causal = tuned.model.get_base_model()
        write_merged_weights(tuned.model, base, folder, tuned.dtype)
    else:
        write_shared_weights(tuned.model, base, folder, tuned.dtype)
    # The base's own: the model's says how it was loaded.
    config = load_config(base)
    config.architectures = [architecture(causal)]
    config.dtype, config.use_cache = tuned.dtype, True
    config.save_pretrained(folder)
    _settings(tuned, causal).save_pretrained(folder)


def _settings(tuned: TunedModel, model: Any) -> GenerationConfig:
    limit = tuned.provenance["max_output_tokens"]
    return saved_settings(model, tuned.tokenizer, tuned.stop_token_ids, limit)


def _merged(tuned: TunedModel, adapter_folder: Path) -> Any:
    model = tuned.model
    if has_adapters(model):
        model.save_pretrained(adapter_folder)
        model = model.merge_and_unload(safe_merge=True)
    return model.to(tuned.dtype)


def _let_others_read_weights(folder: Path) -> None:
    """Gives weights the mode of other files: safetensors writes them for the owner's eyes only.

    A server that runs as another user could not load them.
    """
    mode = (folder / "config.json").stat().st_mode
    for path in folder.rglob("*.safetensors"):
        path.chmod(mode)


def saved_settings(
    model: Any, tokenizer: Any, stop_token_ids: list[int], max_output_tokens: int
) -> GenerationConfig:
    """Makes ``generate`` stop where completions end, with no further arguments.

    Args:
        model: Its own settings are kept, but for those that cannot be saved.
        tokenizer: Its tokenizer.
        stop_token_ids: Tokens that end a completion.
        max_output_tokens: Limit of a completion.

    Returns:
        What generation_config.json of the tuned model will hold.
    """
    settings = copy.deepcopy(model.generation_config)
    settings.eos_token_id = stop_token_ids[0] if len(stop_token_ids) == 1 else stop_token_ids
    pad = tokenizer.pad_token_id
    settings.pad_token_id = pad if pad is not None else stop_token_ids[0]
    settings.max_new_tokens = max_output_tokens
    settings.max_length = None
    return savable_settings(settings)[0]


def render_card(provenance: dict[str, Any]) -> str:
    """Writes the model card.

    Args:
        provenance: Content of tuning.json.

    Returns:
        Markdown with the metadata block of the Hugging Face hub.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML.
    )
    return environment.get_template("model_card.md.j2").render(provenance)
