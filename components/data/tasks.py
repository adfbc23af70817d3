"""What a dataset asks a model to do, found from its rows: one answer for every stage.

The names are those of the documentation's table of advised steps. Nothing is asked of a person, so
the rules are plain ones that can be said in a sentence each (`Task`), and the first that holds is
taken.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import StrEnum

from msgspec import UNSET

from kfp_llm_tuning.components.data.rows import Row, TextRow, answers, message_text

MOST_LABELS = 100
LONGEST_LABEL = 64
LEAST_ROWS_PER_LABEL = 3
# A rule about single rows holds where it holds for more than this share of them.
_MOST = 0.5
# A span is a small part of its input: so many times shorter.
_SPAN_FACTOR = 3
# A summary is of a long text, and so many times shorter; its words are mostly the text's own, which
# an answer to a long question need not have.
_LONG_INPUT = 500
_SUMMARY_FACTOR = 3
_SUMMARY_OWN_WORDS = 0.5
_LEAST_SUMMARY_WORDS = 5
_WORD = re.compile(r"\w+")
# Two letters of one word, in scripts that write spaces between words.
_IN_WORD = re.compile(r"[a-z0-9]{2}")
# A letter stands everywhere in a text, and so often is it looked whether as a word.
_MOST_PLACES = 100


class Task(StrEnum):
    """What the model is asked to do.

    Attributes:
        CLASSIFICATION: Few different short outputs come again and again: labels.
        CHAT: Most conversations have more than one answer.
        EXTRACTIVE_QUESTION_ANSWERING: Most outputs are a short span of their input.
        SUMMARISATION: Most outputs are much shorter than a long input, in its words, no span of it.
        GENERATION: None of these.
    """

    CLASSIFICATION = "classification"
    CHAT = "chat"
    EXTRACTIVE_QUESTION_ANSWERING = "extractive question answering"
    SUMMARISATION = "summarisation"
    GENERATION = "generation"


def can_be_label(output: str) -> bool:
    """Tells whether an output is one line of at most ``LONGEST_LABEL`` characters.

    White space around it is no part of it.
    """
    label = output.strip()
    return 0 < len(label) <= LONGEST_LABEL and "\n" not in label


class TaskFinder:
    """Reads examples one after the other, and says what they ask for.

    Its memory does not grow with their number: labels are counted until they are too many.
    """

    def __init__(self) -> None:
        """Starts with no example."""
        self._labels: Counter[str] | None = Counter()
        self._answers = 0
        self._firsts = 0
        self._conversations = 0
        self._spans = 0
        self._summaries = 0

    def add_row(self, row: Row) -> None:
        """Reads every answer of a row."""
        if isinstance(row, TextRow):
            self.add(row.input_text, row.output_text)
            return
        context = "" if row.context is UNSET else str(row.context)
        for number, (position, message) in enumerate(answers(row)):
            # Only the first is looked at with what stands before it.
            history = () if number else row.messages[:position]
            prompt = "\n".join([context, *(earlier.content for earlier in history)])
            self.add(prompt, message_text(message), number)

    def add(self, prompt: str, answer: str, number: int = 0) -> None:
        """Reads one answer.

        Args:
            prompt: What the model is given.
            answer: What it is to write.
            number: Which answer of its conversation, from 0.
        """
        self._answers += 1
        self._count_label(answer)
        if number:
            self._conversations += number == 1
            return
        self._firsts += 1
        self._spans += _is_span(prompt, answer)
        self._summaries += _is_summary(prompt, answer)

    @property
    def labels(self) -> dict[str, int]:
        """Each label and its count, the most frequent first; empty where outputs are no labels.

        They are up to ``MOST_LABELS``, and the answers at least ``LEAST_ROWS_PER_LABEL`` times as
        many. One only is a label too: of data that teaches a model to say one thing.
        """
        if not self._labels or self._answers < LEAST_ROWS_PER_LABEL * len(self._labels):
            return {}
        return dict(self._labels.most_common())

    @property
    def task(self) -> Task:
        """What the examples so far ask for; generation where there are none."""
        if self.labels:
            return Task.CLASSIFICATION
        rules = {
            Task.CHAT: self._conversations,
            Task.EXTRACTIVE_QUESTION_ANSWERING: self._spans,
            Task.SUMMARISATION: self._summaries,
        }
        most = _MOST * self._firsts
        return next((task for task, rows in rules.items() if rows > most), Task.GENERATION)

    def _count_label(self, answer: str) -> None:
        if self._labels is None:
            return
        self._labels[answer.strip()] += 1
        if len(self._labels) > MOST_LABELS or not can_be_label(answer):
            self._labels = None


def _is_span(prompt: str, answer: str) -> bool:
    """Tells whether an answer stands in a prompt that is far longer, as whole words."""
    span = answer.strip().casefold()
    if not 0 < _SPAN_FACTOR * len(span) <= len(prompt) or "\n" in span:
        return False
    text, end = prompt.casefold(), 0
    for _ in range(_MOST_PLACES):
        start = text.find(span, end)
        if start < 0:
            return False
        end = start + len(span)
        edges = text[max(start - 1, 0) : start + 1], text[end - 1 : end + 1]
        if not any(map(_IN_WORD.fullmatch, edges)):
            return True
    return False


def _is_summary(prompt: str, answer: str) -> bool:
    if len(prompt) < _LONG_INPUT or _SUMMARY_FACTOR * len(answer) > len(prompt):
        return False
    words = _WORD.findall(answer.casefold())
    if len(words) < _LEAST_SUMMARY_WORDS or _is_span(prompt, answer):
        return False
    known = set(_WORD.findall(prompt.casefold()))
    return sum(word in known for word in words) >= _SUMMARY_OWN_WORDS * len(words)
