"""Text that grows token by token is, in the end, what all tokens say at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from kfp_llm_tuning.components.models.byte_tiny import build_tokenizer
from kfp_llm_tuning.components.serving.incremental_detokenizer import IncrementalDetokenizer

BYTES = build_tokenizer()
WORDS = ["▁Hello", "▁world", "!", "▁", "a", "b"]


def with_byte_fallback() -> Tokenizer:
    """A tokenizer as SentencePiece's are: words with their blanks, and single bytes."""
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    vocabulary |= {f"<0x{byte:02X}>": len(WORDS) + byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    # As Llama 2 has it: the blank before the first word is taken off.
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


FALLBACK = with_byte_fallback()
FALLBACK_BYTES = range(len(WORDS), len(WORDS) + 256)


def byte_level(stops: Sequence[str] = ()) -> IncrementalDetokenizer:
    return IncrementalDetokenizer(decode_bytes, (), stops)


def decode_bytes(tokens: Sequence[int]) -> str:
    text: str = BYTES.decode(list(tokens), skip_special_tokens=True)
    return text


def decode_fallback(tokens: Sequence[int]) -> str:
    text: str = FALLBACK.decode(list(tokens))
    return text


def tokens_of(text: str) -> list[int]:
    ids: list[int] = BYTES(text, add_special_tokens=False)["input_ids"]
    return ids


def grow(detokenizer: IncrementalDetokenizer, tokens: Sequence[int]) -> list[str]:
    """Adds tokens until the text is stopped, and gives the pieces taken."""
    pieces = []
    for token in tokens:
        stopped = detokenizer.add(token)
        pieces.append(detokenizer.take())
        if stopped:
            return pieces
    detokenizer.end()
    return [*pieces, detokenizer.take()]


@given(st.text(max_size=30))
def test_pieces_are_whole_characters_and_together_the_text(text: str) -> None:
    pieces = grow(byte_level(), tokens_of(text))
    assert "".join(pieces) == text
    assert all(len(piece) <= 1 for piece in pieces[:-1] if "\ufffd" not in text)


@given(st.lists(st.integers(0, 258), max_size=40))
def test_any_bytes_are_in_the_end_what_they_are_at_once(tokens: list[int]) -> None:
    detokenizer = byte_level()
    assert "".join(grow(detokenizer, tokens)) == detokenizer.text == decode_bytes(tokens)


@given(st.lists(st.integers(0, len(WORDS) + 255), max_size=40))
def test_runs_of_fallback_bytes_are_read_as_a_whole(tokens: list[int]) -> None:
    detokenizer = IncrementalDetokenizer(decode_fallback, FALLBACK_BYTES, ())
    assert "".join(grow(detokenizer, tokens)) == detokenizer.text == decode_fallback(tokens)


def test_blanks_between_words_stay() -> None:
    detokenizer = IncrementalDetokenizer(decode_fallback, FALLBACK_BYTES, ())
    assert grow(detokenizer, [0, 1, 2, 1]) == ["Hello", " world", "!", " world", ""]


def test_a_character_comes_with_its_last_byte() -> None:
    assert grow(byte_level(), tokens_of("é€😀")) == [
        *("", "é"),
        *("", "", "€"),
        *("", "", "", "😀"),
        "",
    ]


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one\ntwo", ["\n"], "one"),
        ("one two", ["one"], ""),
        ("aab", ["ab"], "a"),
        ("ababac", ["abac"], "ab"),
        ("Stop. STOP", ["STOP"], "Stop. "),
        ("a😀b", ["😀"], "a"),
        ("e\u0301x", ["\u0301"], "e"),
        ("שלום עולם", [" עולם"], "שלום"),
        ("a\x00b", ["\x00"], "a"),
        ("first END then </s>", ["</s>", "END"], "first "),
        ("never", ["x", "neverr"], "never"),
        ("ends with a beginning of it: EN", ["END"], "ends with a beginning of it: EN"),
    ],
)
def test_text_ends_before_the_stop_text(text: str, stops: list[str], expected: str) -> None:
    detokenizer = byte_level(stops)
    pieces = grow(detokenizer, tokens_of(text))
    assert detokenizer.text == "".join(pieces) == expected
    assert detokenizer.stopped == (expected != text)


@given(st.text("ab", max_size=20), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_nothing_is_told_that_a_stop_text_takes_back(text: str, stops: list[str]) -> None:
    detokenizer = byte_level(stops)
    pieces = grow(detokenizer, tokens_of(text))
    assert "".join(pieces) == detokenizer.text
    # Ended by the stop text that was whole first.
    ends = [at + len(stop) for stop in stops if (at := text.find(stop)) >= 0]
    seen = text[: min(ends)] if ends else text
    starts = [at for stop in stops if (at := seen.find(stop)) >= 0]
    assert detokenizer.text == (seen[: min(starts)] if ends else text)


def test_a_stop_text_that_ends_in_what_was_held_back() -> None:
    detokenizer = byte_level(["\ufffd"])
    assert grow(detokenizer, [*tokens_of("ok"), *tokens_of("é")[:1]]) == ["o", "k", "", ""]
    assert detokenizer.stopped
    assert detokenizer.text == "ok"


def test_tokens_begin_where_their_text_does() -> None:
    detokenizer = byte_level()
    grow(detokenizer, tokens_of("aé€b"))
    assert detokenizer.starts == [0, 1, 1, 2, 2, 2, 3]
    assert detokenizer.tokens_taken() == 7


def test_tokens_of_the_stop_text_are_not_told() -> None:
    detokenizer = byte_level(["cd"])
    told = []
    for token in tokens_of("abcd"):
        detokenizer.add(token)
        detokenizer.take()
        told.append(detokenizer.tokens_taken())
    assert told == [1, 2, 2, 2]


def test_special_tokens_have_no_text() -> None:
    detokenizer = byte_level()
    tokens: list[Any] = [*tokens_of("a"), BYTES.bos_token_id, *tokens_of("b")]
    assert grow(detokenizer, tokens) == ["a", "", "b", ""]
    assert detokenizer.starts == [0, 1, 1]
