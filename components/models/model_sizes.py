"""The sizes in a config.json: believed only as far as the weights bear them out.

transformers builds what the configuration says before it looks at a weight: a billion layers, or a
billion labels, would take hours and all memory.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.models.safetensors_header import FLOATS, Tensor

# The spellings of architectures; the largest published model has fewer than 200 layers.
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_MOST_LAYERS = 2_000
_MOST_LABELS = 100_000
# Sizes are 32-bit integers in every file format that models are kept in.
_MOST = 2**31 - 1
_TEXT_PARTS = ("text_config", "llm_config", "language_config")
_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d+)\.")
_EMBEDDING = re.compile(
    r"(?:^|\.)(?:embed_tokens|wte|tok_embeddings|word_embeddings|embed_in|embeddings)\.weight$"
)


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Finds the part of config.json that describes the language model: often the whole."""
    for name in _TEXT_PARTS:
        part = config.get(name)
        if isinstance(part, dict):
            return part
    return config


def embedding_rows(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> int | None:
    """Counts the tokens that a model has room for.

    Args:
        config: config.json.
        tensors: The weights; empty where they are not at hand.

    Returns:
        Rows of the table of embeddings, or what config.json says of them; None where neither does.
    """
    said = text_config(config).get("vocab_size")
    return max(_tables(tensors), default=said if type(said) is int else None)


def _tables(tensors: Mapping[str, Tensor]) -> set[int]:
    """Counts the rows of every table of token embeddings that is not packed."""
    return {
        tensor.shape[0]
        for name, tensor in tensors.items()
        if _EMBEDDING.search(name) and len(tensor.shape) == 2 and tensor.dtype in FLOATS
    }


def check_sizes(config: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str) -> None:
    """Checks sizes for reason, and against the weights.

    Args:
        config: config.json.
        tensors: The weights; empty where they are not at hand.
        where: Names config.json in messages.

    Raises:
        UserError: With every size that no model has, or that the weights do not have.
    """
    problems = [*_unreasonable(config, where)]
    if tensors and not problems:
        problems += _unlike(text_config(config), tensors, where)
    raise_all(problems)


def _unreasonable(config: Mapping[str, Any], where: str) -> Iterator[Problem]:
    for name, value in _numbers(config):
        most = _MOST_LAYERS if name in _LAYERS else _MOST_LABELS if name == "num_labels" else _MOST
        if value > most:
            yield Problem(f"has {name} {short(value)}.", where, f"at most {most:,}")
    for name in (*_LAYERS, "vocab_size", "hidden_size"):
        value = text_config(config).get(name, 1)
        # Some architectures have a list: one for each layer.
        fits = value is None or isinstance(value, list) or (type(value) is int and value >= 1)
        if not fits:
            yield Problem(f"has {name} {short(value)}.", where, "a whole number from 1")


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    parts = [config]
    while parts:
        for name, value in parts.pop().items():
            if type(value) is int:
                yield name, value
            elif isinstance(value, dict):
                parts.append(value)


def _unlike(
    text: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str
) -> Iterator[Problem]:
    layers = next((text[name] for name in _LAYERS if type(text.get(name)) is int), None)
    stacks: dict[str, set[str]] = defaultdict(set)
    for name in tensors:
        if found := _LAYER.search(name):
            stacks[name[: found.start()]].add(found[1])
    most = max(map(len, stacks.values()), default=None)
    if layers is not None and most is not None and most < layers:
        what = f"says {layers} layers, and the weights have {most}."
        yield Problem(what, where, fix="Copy the model again: its files do not belong together.")
    vocabulary, tables = text.get("vocab_size"), _tables(tensors)
    if type(vocabulary) is int and tables and vocabulary not in tables:
        rows = max(tables)
        what = f"says vocab_size {vocabulary:,}, and the table of embeddings has {rows:,} rows."
        fix = f"Set vocab_size to {rows:,}, or save the model again with its weights."
        yield Problem(what, where, fix=fix)
