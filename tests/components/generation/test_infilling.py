"""Filling a gap: the tokens of each model family, and the prompt made of them."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from kfp_llm_tuning.components.data.rendering.plain import PlainFormatter
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization
from kfp_llm_tuning.components.generation.infilling import infilling_of
from kfp_llm_tuning.components.models.byte_tiny import build_tokenizer

FAMILIES = {
    "Qwen": (
        ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
        ["<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"],
        ["<|im_start|>", "<|im_end|>"],
    ),
    "CodeGemma": (
        ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
        ["<|file_separator|>"],
        ["<start_of_turn>"],
    ),
    "StarCoder": (
        ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
        ["<|endoftext|>", "<file_sep>", "<fim_pad>"],
        ["<repo_name>"],
    ),
    "CodeLlama": (["▁<PRE>", "▁<SUF>", "▁<MID>"], ["▁<EOT>"], ["<s>"]),
    "DeepSeek": (
        ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"],
        ["<｜end▁of▁sentence｜>"],
        ["<｜begin▁of▁sentence｜>"],
    ),
}


def tokenizer_with(names: list[str]) -> Any:
    """A byte-level tokenizer with special tokens of these names."""
    bytes_alone = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate(bytes_alone)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=names[-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_told_by_their_vocabularies(family: str) -> None:
    gap, ends, others = FAMILIES[family]
    tokenizer = tokenizer_with([*gap, *ends, *others])
    infilling = infilling_of(tokenizer)
    assert infilling is not None
    expected = tokenizer.convert_tokens_to_ids([*gap, *ends])
    assert infilling.stop_tokens == tuple(sorted(expected))
    text = infilling.prompt("def f(", "):\n")
    assert text == f"{gap[0]}def f({gap[1]}):\n{gap[2]}"
    tokenization = Tokenization(tokenizer, PlainFormatter(tokenizer), sys.maxsize, sys.maxsize)
    [prompt] = tokenization.prompts([text], [None])
    tokens = tokenizer.convert_ids_to_tokens(prompt.ids)
    # Prefix, suffix, middle: this order all of them were trained in.
    assert [token for token in tokens if token in gap] == gap
    assert tokenizer.decode(prompt.ids, skip_special_tokens=True) == "def f():\n"


def test_models_that_never_learned_it() -> None:
    assert infilling_of(build_tokenizer()) is None
    assert infilling_of(tokenizer_with(["<|fim_prefix|>", "<|fim_suffix|>", "</s>"])) is None
