"""The answers of both models for the report's list: sorted, compared word by word, bounded."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rapidfuzz.distance import LCSseq

from kfp_llm_tuning.components.evaluation.paired_answers import Example

# The page carries its answers with it: of short ones many thousands, and it still opens at once.
MOST_BYTES = 6 * 2**20
MOST_CHARACTERS = 20_000
# Comparing takes time and memory by the square of this.
_MOST_WORDS = 5_000
# Words, single signs, and the white space between them.
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


class Kind(StrEnum):
    """What tuning did to an answer, in the order of the list."""

    BROKEN = "broken"
    WRONG = "still wrong"
    IMPROVED = "improved"
    RIGHT = "right"


@dataclass(frozen=True)
class AnswerList:
    """What the page shows.

    Attributes:
        rows: As the page's script reads them: names and values of JSON.
        counts: How many answers there are of each kind, those not among ``rows`` too.
        left_out: Answers that the page has no room for.
        shortened: Texts of ``rows`` that are not whole.
    """

    rows: Sequence[Mapping[str, Any]]
    counts: Mapping[Kind, int]
    left_out: int
    shortened: int

    def to_json(self) -> str:
        """Writes the rows for a script element of HTML, which nothing in them can end."""
        text = json.dumps(self.rows, ensure_ascii=False, separators=(",", ":"))
        return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def list_answers(examples: Sequence[Example]) -> AnswerList:
    """Sorts answers, what broke first and then the worst first, and takes those that fit.

    Args:
        examples: Every example.

    Returns:
        The list.
    """
    rows: list[dict[str, Any]] = []
    room = MOST_BYTES
    shortened = 0
    for example in sorted(examples, key=_order):
        texts = {name: getattr(example, name) for name in _TEXTS}
        cut = {name: _shorten(text) for name, text in texts.items()}
        row = _row(example, cut)
        room -= len(json.dumps(row, ensure_ascii=False).encode(errors="replace"))
        if room < 0:
            break
        rows.append(row)
        shortened += sum(cut[name] != text for name, text in texts.items())
    counted = Counter(map(kind_of, examples))
    counts = {kind: counted[kind] for kind in Kind}
    return AnswerList(rows, counts, len(examples) - len(rows), shortened)


_TEXTS = ("prompt", "question", "reference", "base", "tuned")


def kind_of(example: Example) -> Kind:
    """Tells what tuning did to an answer."""
    if example.tuned_score != example.base_score:
        return Kind.BROKEN if example.tuned_score < example.base_score else Kind.IMPROVED
    # The greatest value of every metric of ours; a user's own may go beyond.
    return Kind.RIGHT if example.tuned_score >= 1 else Kind.WRONG


def _order(example: Example) -> tuple[int, float, float]:
    kind = kind_of(example)
    if kind in (Kind.BROKEN, Kind.IMPROVED):
        return list(Kind).index(kind), -abs(example.tuned_score - example.base_score), 0.0
    return list(Kind).index(kind), example.tuned_score, example.tuned_likelihood


def _row(example: Example, texts: Mapping[str, str]) -> dict[str, Any]:
    question = texts["question"] or texts["prompt"].strip()
    row: dict[str, Any] = {
        "kind": kind_of(example),
        "line": example.line,
        "turn": example.turn,
        "question": question,
        "base": texts["base"],
        "base_score": example.base_score,
        "tuned_score": example.tuned_score,
        "difference": difference(texts["reference"], texts["tuned"]),
    }
    if texts["prompt"].strip() != question:
        row["prompt"] = texts["prompt"]
    return row


def difference(expected: str, given: str) -> list[tuple[str, str]]:
    """Compares two texts word by word.

    Args:
        expected: What is right.
        given: What was answered.

    Returns:
        Pieces, each behind ``=`` (in both), ``-`` (only expected) or ``+`` (only given): those of
        ``=`` and ``-`` are the first text, those of ``=`` and ``+`` the second.
    """
    if expected == given:
        return [("=", expected)] if expected else []
    before, after = _WORD.findall(expected), _WORD.findall(given)
    if max(len(before), len(after)) > _MOST_WORDS:
        return [("-", expected), ("+", given)]
    pieces: list[tuple[str, str]] = []
    for step in LCSseq.opcodes(before, after):
        if step.tag == "equal":
            pieces.append(("=", "".join(before[step.src_start : step.src_end])))
        elif step.tag == "delete":
            pieces.append(("-", "".join(before[step.src_start : step.src_end])))
        else:
            pieces.append(("+", "".join(after[step.dest_start : step.dest_end])))
    return pieces


def _shorten(text: str) -> str:
    """Leaves out the middle of a long text and says how much."""
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]} […{len(text) - 2 * half:,} characters…] {text[-half:]}"
