"""Joins the answers of one conversation: read once, learned each.

A record holds an answer with its whole history. Where the next record of a conversation begins with
the very tokens of the one before, both are read in one pass: a causal model sees before each answer
what it would see if the answer stood alone, so loss and gradients are those of the records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kfp_llm_tuning.components.data.artifacts import Record

_OTHER_TEXT = "the prompt format writes what came before in other words once more was said"
_OTHER_TOKENS = "the tokenizer joins what came before with what follows"
_PROMPT_CUT = "what came before is longer than the limit, and its oldest part is left out"


class EncodedRecord(NamedTuple):
    """A record as tokens.

    Attributes:
        record: The record.
        prompt: Tokens of its prompt.
        completion: Tokens of its completion, and its end.
        is_cut: Whether a part of the prompt is missing.
    """

    record: Record
    prompt: list[int]
    completion: list[int]
    is_cut: bool


class EncodedSequence(NamedTuple):
    """A row of an encoded set: see `data.artifacts.sequence_features`."""

    input_ids: list[int]
    starts: list[int]
    stops: list[int]
    ends: list[int]
    line: int
    turns: list[int]


class ConversationTokens:
    """Takes the records of one conversation after the other, and joins those that can be."""

    def __init__(self, read_apart: Callable[[str, Record], None]) -> None:
        """Starts with no record.

        Args:
            read_apart: Told why, and which record of a conversation does not continue another.
        """
        self._read_apart = read_apart
        self._sequence: EncodedSequence | None = None
        self._last: EncodedRecord | None = None

    def add(self, encoded: EncodedRecord) -> EncodedSequence | None:
        """Takes a record.

        Args:
            encoded: The next one, in the order of lines and turns.

        Returns:
            The sequence before it, where this record does not continue it.
        """
        last, self._last = self._last, encoded
        why = self._why_apart(last, encoded)
        if why is None and self._sequence is not None:
            self._sequence = _continued(self._sequence, encoded)
            return None
        if why:
            self._read_apart(why, encoded.record)
        done, self._sequence = self._sequence, _begun(encoded)
        return done

    def finish(self) -> EncodedSequence | None:
        """Gives the last sequence; None where there was no record."""
        done, self._sequence = self._sequence, None
        return done

    def _why_apart(self, last: EncodedRecord | None, encoded: EncodedRecord) -> str | None:
        """Says why a record begins a sequence; empty where that needs no reason, None if not."""
        if last is None or last.record.line != encoded.record.line:
            return ""
        # Nothing is predicted from the last label.
        read = last.prompt + last.completion[:-1]
        if len(encoded.prompt) > len(read) and encoded.prompt[: len(read)] == read:
            return None
        if encoded.record.head is None:
            return ""
        if encoded.is_cut:
            return _PROMPT_CUT
        said = last.record.prompt + last.record.completion
        return _OTHER_TOKENS if encoded.record.prompt.startswith(said) else _OTHER_TEXT


def _begun(encoded: EncodedRecord) -> EncodedSequence:
    record, prompt, completion, _ = encoded
    input_ids = prompt + completion
    # The first token of a sequence has nothing before it to be predicted from.
    start = max(len(prompt), 1)
    return EncodedSequence(
        input_ids, [start], [len(input_ids)], [input_ids[-1]], record.line, [record.turn]
    )


def _continued(sequence: EncodedSequence, encoded: EncodedRecord) -> EncodedSequence:
    record, prompt, completion, _ = encoded
    input_ids = prompt + completion
    return EncodedSequence(
        input_ids,
        [*sequence.starts, len(prompt)],
        [*sequence.stops, len(input_ids)],
        [*sequence.ends, input_ids[-1]],
        record.line,
        [*sequence.turns, record.turn],
    )
