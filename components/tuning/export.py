"""Writes the saved model: the engine's weights, tokenizer, settings, card, provenance, manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.folders import finished_atomically
from kfp_llm_tuning.components.common.manifest import write_manifest
from kfp_llm_tuning.components.models.checkpoint_files import PROVENANCE
from kfp_llm_tuning.components.models.generation_settings import load_settings, savable_settings

if TYPE_CHECKING:
    from transformers import GenerationConfig

ADAPTER = "adapter"


@dataclass(frozen=True)
class Completions:
    """How the tuned model writes: what is saved beside its weights.

    Attributes:
        base: The base model's folder; its settings are kept, but for those that cannot be saved.
        tokenizer: Its tokenizer.
        stop_token_ids: Tokens that end a completion.
        max_output_tokens: Limit of a completion.
    """

    base: Path
    tokenizer: Any
    stop_token_ids: list[int]
    max_output_tokens: int

    def save(self, folder: Path) -> None:
        """Writes generation_config.json and the tokenizer's files.

        Args:
            folder: Is there already.
        """
        self.settings().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def settings(self) -> GenerationConfig:
        """Makes ``generate`` stop where completions end, with no further arguments."""
        settings = load_settings(self.base)
        stop = self.stop_token_ids
        settings.eos_token_id = stop[0] if len(stop) == 1 else stop
        pad = self.tokenizer.pad_token_id
        settings.pad_token_id = pad if pad is not None else stop[0]
        settings.max_new_tokens = self.max_output_tokens
        settings.max_length = None
        return savable_settings(settings)[0]


def export_model(
    write_model: Callable[[Path], None],
    completions: Completions,
    provenance: dict[str, Any],
    target: Path,
) -> None:
    """Writes the saved model, with the manifest by which every reader sees that it is whole.

    Args:
        write_model: Writes the configuration and the weights into a folder.
        completions: How the model writes.
        provenance: Content of tuning.json and of the model card.
        target: A folder; replaced as a whole.
    """
    with finished_atomically(target) as folder:
        write_model(folder)
        completions.save(folder)
        _let_others_read_weights(folder)
        text = json.dumps(provenance, indent=2, sort_keys=True, default=str)
        (folder / PROVENANCE).write_text(text + "\n", encoding="utf-8")
        (folder / "README.md").write_text(render_card(provenance), encoding="utf-8")
        write_manifest(folder)


def _let_others_read_weights(folder: Path) -> None:
    """Gives weights the mode of other files: safetensors writes them for the owner's eyes only.

    A server that runs as another user could not load them.
    """
    mode = (folder / "config.json").stat().st_mode
    for path in folder.rglob("*.safetensors"):
        path.chmod(mode)


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
