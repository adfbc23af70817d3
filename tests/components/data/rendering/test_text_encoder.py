"""Texts have the tokens that the model's own tokenizer gives them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, models, normalizers, pre_tokenizers

from kfp_llm_tuning.components.data.rendering.text_encoder import TextEncoder
from kfp_llm_tuning.components.models import byte_tiny

BYTE_TOKENIZER = byte_tiny.build_tokenizer()
ENCODER = TextEncoder(BYTE_TOKENIZER)
ODD = ["", "\x00", "<bos>", "é", "e\u0301", "😀", "<eos>\n<pad>", "\u2028"]


def own(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return ids


@given(st.lists(st.one_of(st.text(), st.sampled_from(ODD)), max_size=4))
def test_bytes_have_the_tokens_that_the_tokenizer_gives_them(texts: list[str]) -> None:
    assert ENCODER.encode(texts) == (own(BYTE_TOKENIZER, texts) if texts else [])


def test_every_byte_has_its_token_without_the_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ENCODER, "_backend", None)
    assert ENCODER.every_byte_is_a_token
    assert ENCODER.encode(["ab", "\x00"]) == [[3 + ord("a"), 3 + ord("b")], [3]]


def _with_merge(tokenizer: Any) -> None:
    vocabulary = {symbol: token for symbol, token in tokenizer.get_vocab().items() if token != 0}
    vocabulary["ab"] = 0
    tokenizer.backend_tokenizer.model = models.BPE(vocabulary, [("a", "b")])


def _with_normalizer(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()


def _with_space(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


def _with_token_in_texts(tokenizer: Any) -> None:
    tokenizer.add_tokens([AddedToken("<call>", special=False)])


def _with_special_tokens_in_texts(tokenizer: Any) -> None:
    tokenizer.split_special_tokens = False


@pytest.mark.parametrize(
    "change",
    [
        _with_merge,
        _with_normalizer,
        _with_space,
        _with_token_in_texts,
        _with_special_tokens_in_texts,
    ],
)
def test_a_tokenizer_that_may_write_other_tokens_is_asked(change: Any) -> None:
    tokenizer = byte_tiny.build_tokenizer()
    change(tokenizer)
    encoder = TextEncoder(tokenizer)
    assert not encoder.every_byte_is_a_token
    texts = ["ab", "e\u0301", "<call>", "<eos>"]
    assert encoder.encode(texts) == own(tokenizer, texts)


def test_other_vocabularies(chat_tokenizer: Any) -> None:
    texts = ["the weather\n\n", " ", "", "<|im_end|>", "<s>"]
    assert TextEncoder(chat_tokenizer).encode(texts) == own(chat_tokenizer, texts)
