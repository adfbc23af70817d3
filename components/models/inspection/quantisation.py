"""Whether the weights are numbers that can be trained, and not packed ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.models.inspection.findings import Inspection
from kfp_llm_tuning.components.models.model_sizes import text_config
from kfp_llm_tuning.components.models.safetensors_header import FLOATS, Tensor


def check_not_quantised(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], place: str, found: Inspection
) -> None:
    """Refuses quantised weights: rounding hides small updates, and merging adapters needs floats.

    Args:
        config: config.json.
        tensors: The weights; empty where they are not at hand.
        place: Names the checkpoint in messages.
        found: Takes what is found.
    """
    method = _method(config) or _packed(tensors)
    if method:
        found.problems.append(
            Problem(
                f"has quantised weights ({method}), which cannot be tuned and saved again.",
                place,
                f"weights of {', '.join(FLOATS)}",
                "Choose the checkpoint that it was made from, without a suffix such as -AWQ, "
                "-GPTQ, -FP8 or -bnb-4bit.",
            )
        )


def _method(config: Mapping[str, Any]) -> str:
    for part in (config, text_config(config)):
        settings = part.get("quantization_config")
        if settings:
            return str(settings.get("quant_method")) if isinstance(settings, dict) else "unknown"
    return ""


def _packed(tensors: Mapping[str, Tensor]) -> str:
    """Names the most frequent type of matrices that are no floating-point numbers."""
    types = Counter(tensor.dtype for tensor in tensors.values() if len(tensor.shape) > 1)
    packed = [name for name, _ in types.most_common() if name not in (*FLOATS, "BOOL", "I64")]
    return packed[0] if packed else ""
