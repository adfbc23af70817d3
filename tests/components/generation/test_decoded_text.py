"""Texts of tokens that the tokenizer does not know, as models with padded embeddings write them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from transformers import PreTrainedTokenizer

from kfp_llm_tuning.components.generation.decoded_text import decode
from kfp_llm_tuning.components.models import byte_tiny


class WordTokenizer(PreTrainedTokenizer):
    """A tokenizer in Python, which fails on an id that it does not know."""

    words = ("Hello", "world")

    def get_vocab(self) -> dict[str, int]:
        return {word: token for token, word in enumerate(self.words)}

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def _convert_id_to_token(self, index: int) -> str:
        return self.words[index]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [([[0, 5, 1], [9], []], ["Hello world", "", ""]), ([[1]], ["world"]), ([], [])],
)
def test_a_tokenizer_in_python(texts: Sequence[Sequence[int]], expected: list[str]) -> None:
    assert decode(WordTokenizer(), texts) == expected


def test_what_is_left_out_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = byte_tiny.build_tokenizer()
    beyond = len(tokenizer) + 1_234_567
    assert decode(tokenizer, [[70, beyond, 71, beyond]]) == ["CD"]
    assert decode(tokenizer, [[beyond]]) == [""]
    assert [record.getMessage() for record in caplog.records] == [
        f"Token {beyond} is left out of the text: the tokenizer does not know it."
    ]
