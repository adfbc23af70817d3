"""Shapes of the models that GPU benchmarks build with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from transformers import AutoConfig, PretrainedConfig

# As in the configurations that were published with the models' weights.
SHAPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "1B": {  # Llama 3.2 1B
            "model_type": "llama",
            "vocab_size": 128_256,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "tie_word_embeddings": True,
        },
        "8B": {  # Llama 3.1 8B
            "model_type": "llama",
            "vocab_size": 128_256,
            "hidden_size": 4096,
            "intermediate_size": 14_336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": False,
        },
        "tiny": {  # For trials without a GPU.
            "model_type": "llama",
            "vocab_size": 4096,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "tie_word_embeddings": True,
        },
    }
)
# What the pipelines' limits let a row have: 8,192 tokens of prompt and 1,024 of answer.
_POSITIONS = 9216


def make_config(shape: str, **changes: Any) -> PretrainedConfig:
    """Makes the configuration of a shape.

    Args:
        shape: A name of ``SHAPES``.
        changes: Values that are to be others.
    """
    values = {"max_position_embeddings": _POSITIONS, **SHAPES[shape], **changes}
    return AutoConfig.for_model(values.pop("model_type"), **values)


def operations_of_a_token(config: PretrainedConfig, tuning: str, length: float) -> float:
    """Counts the arithmetic of a token as published shares do: 2 a weight and pass, and attention.

    Frozen weights need the gradient of their input only, trained ones that of themselves too
    (Kaplan et al. 2020, "Scaling Laws for Neural Language Models", section 2.1); causal attention
    adds 2 x layers x width x length a pass. The output layer counts for every token, though the
    tuner leaves it out where nothing is learned.

    Args:
        config: Of a Llama.
        tuning: "adapter" or "full".
        length: Tokens that a token sees besides itself are half of it on average.
    """
    hidden, head = config.hidden_size, config.head_dim
    attention = hidden * head * 2 * (config.num_attention_heads + config.num_key_value_heads)
    layer = attention + 3 * hidden * config.intermediate_size
    weights = config.num_hidden_layers * layer + config.vocab_size * hidden
    width = config.num_attention_heads * head
    seen = 2 * config.num_hidden_layers * width * length
    return 2.0 * weights * (3 if tuning == "full" else 2) + seen * 3
