"""The sizes of a model, from its config.json alone: what memory and time are reckoned from.

Known are dense decoders with gated feed-forward layers: Llama and its relatives. Of any other
architecture nothing is said rather than something wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.storage import is_local, local_path
from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.models.checkpoint_files import CONFIG
from kfp_llm_tuning.components.models.json_files import read_local_object
from kfp_llm_tuning.components.models.model_sizes import text_config

TABLE = Path(__file__).with_name("model_shapes.yaml")
# Dense decoders whose layers are four projections of attention and three of a gated feed-forward
# layer (fused ones weigh the same), and how their norms differ from Llama's.
_QUERY_NORMS = {"qwen3", "gemma3", "gemma3_text", "olmo2"}
_FOUR_NORMS = {"gemma2", "gemma3", "gemma3_text"}
_KNOWN = {"llama", "mistral", "qwen2", "phi3", "granite", "smollm3"} | _QUERY_NORMS | _FOUR_NORMS
# Modules of a layer that LoRA's "all-linear" finds.
LINEAR_MODULES = 7


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a dense decoder.

    Attributes:
        layers: How many.
        hidden: Width of the residual stream.
        feed_forward: Width of the gated feed-forward layer.
        queries: Width of all queries together.
        keys: Width of all keys together; values are as wide.
        vocabulary: Tokens.
        tied: Whether the output layer shares the embeddings.
        query_norms: Whether queries and keys are normed.
        four_norms: Whether a layer has four norms instead of two.
    """

    layers: int
    hidden: int
    feed_forward: int
    queries: int
    keys: int
    vocabulary: int
    tied: bool
    query_norms: bool = False
    four_norms: bool = False

    @property
    def layer_weights(self) -> int:
        """Weights of the linear modules of one layer."""
        attention = 2 * self.hidden * (self.queries + self.keys)
        return attention + 3 * self.hidden * self.feed_forward

    @property
    def outer_weights(self) -> int:
        """Weights outside of the layers: embeddings and output layer."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def weights(self) -> int:
        """All weights; norms and biases, less than a thousandth, are left out."""
        return self.layers * self.layer_weights + self.outer_weights

    def adapter_weights(self, rank: int) -> int:
        """Weights of LoRA adapters beside every linear module of the layers."""
        attention = 4 * self.hidden + 2 * self.queries + 2 * self.keys
        return self.layers * rank * (attention + 3 * (self.hidden + self.feed_forward))


def shape_of_config(config: Mapping[str, Any]) -> ModelShape | None:
    """Reads the sizes.

    Args:
        config: config.json.

    Returns:
        The shape; None for an architecture that is not known, or sizes that are not whole numbers.
    """
    text = text_config(config)
    kind = text.get("model_type", config.get("model_type"))
    heads = text.get("num_attention_heads")
    sizes: list[Any] = [
        text.get("num_hidden_layers"),
        text.get("hidden_size"),
        text.get("intermediate_size"),
        text.get("vocab_size"),
        heads,
        text.get("num_key_value_heads") or heads,
    ]
    if kind not in _KNOWN or not all(type(size) is int and size > 0 for size in sizes):
        return None
    layers, hidden, feed_forward, vocabulary, heads, key_heads = sizes
    head = text.get("head_dim") or hidden // heads
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings"))
    return ModelShape(
        layers=layers,
        hidden=hidden,
        feed_forward=feed_forward,
        queries=heads * head,
        keys=key_heads * head,
        vocabulary=vocabulary,
        # What the configurations of Gemma leave out is their default.
        tied=bool(tied if tied is not None else kind.startswith("gemma")),
        query_norms=kind in _QUERY_NORMS,
        four_norms=kind in _FOUR_NORMS,
    )


def family_of(checkpoint: str) -> str:
    """Finds the model_type of a checkpoint without asking anybody.

    Args:
        checkpoint: Of a model reference.

    Returns:
        That of the table, or of a folder of this machine; empty where neither tells.
    """
    return str(_config_of(checkpoint).get("model_type", ""))


def shape_of(checkpoint: str) -> ModelShape | None:
    """Finds the sizes of a checkpoint without asking anybody.

    Args:
        checkpoint: Of a model reference.

    Returns:
        Those of the table, or of a folder of this machine; None where neither tells.
    """
    return shape_of_config(_config_of(checkpoint))


def _config_of(checkpoint: str) -> Mapping[str, Any]:
    """Finds a config.json, or what the table has of it; empty where neither tells."""
    found: Mapping[str, Any] = load_table(TABLE)["shapes"].get(checkpoint, {})
    if found or not is_local(checkpoint):
        return found
    path = local_path(checkpoint) / CONFIG
    try:
        return read_local_object(path) if path.is_file() else {}
    except (OSError, UserError):  # Whoever reads the model tells.
        return {}
