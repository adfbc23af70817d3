from __future__ import annotations

from collections.abc import Iterable

import pytest

from kfp_llm_tuning.components.data.rows import ChatRow, Message, Row, TextRow
from kfp_llm_tuning.components.data.tasks import (
    LONGEST_LABEL,
    MOST_LABELS,
    Task,
    TaskFinder,
    can_be_label,
)

ARTICLE = (
    "The council of the harbour town voted on Monday to close the old bridge for two years. "
    "Engineers had found cracks in four of its pillars. Ferries will carry people across until a "
    "new bridge is built beside it, at a cost of ninety million. "
) * 3
SUMMARY = "The town will close its old bridge, and ferries carry people until a new one is built."


def finder_of(rows: Iterable[Row]) -> TaskFinder:
    finder = TaskFinder()
    for row in rows:
        finder.add_row(row)
    return finder


def texts(*outputs: str, prompt: str = "Which team answers?") -> list[TextRow]:
    return [TextRow(f"{prompt} {number}", output) for number, output in enumerate(outputs)]


def conversation(*contents: str) -> ChatRow:
    authors = ("user", "assistant")
    return ChatRow(
        [Message(authors[number % 2], content) for number, content in enumerate(contents)]
    )


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        (["b", "a", "b", "b ", "a", "\na"], {"b": 3, "a": 3}),
        (["a"] * 5 + ["b"], {"a": 5, "b": 1}),
        ([str(n) for n in range(MOST_LABELS)] * 3, {str(n): 3 for n in range(MOST_LABELS)}),
        (["a", "a", "a"], {"a": 3}),
    ],
    ids=["two, white space aside", "one of them once", "many", "one only"],
)
def test_few_outputs_that_come_again_are_labels(outputs: list[str], labels: dict[str, int]) -> None:
    finder = finder_of(texts(*outputs))
    assert finder.labels == labels
    assert list(finder.labels.values()) == sorted(labels.values(), reverse=True)
    assert finder.task == Task.CLASSIFICATION


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        ["a", "a"],
        ["a", "b", "a", "b", "a"],
        [str(n) for n in range(MOST_LABELS + 1)] * 3,
        ["a", "x" * (LONGEST_LABEL + 1)] * 3,
        ["a", "two\nlines"] * 3,
        ["a", " "] * 3,
    ],
    ids=["none", "too few", "not again", "too many", "too long", "two lines", "blank"],
)
def test_other_outputs_are_no_labels(outputs: list[str]) -> None:
    finder = finder_of(texts(*outputs))
    assert finder.labels == {}
    assert finder.task == Task.GENERATION


def test_labels_in_conversations() -> None:
    rows = [conversation("Which team?", label) for label in ["billing", "returns"] * 3]
    assert finder_of(rows).labels == {"billing": 3, "returns": 3}


def test_labels_are_no_longer_counted_when_there_are_too_many() -> None:
    finder = finder_of(texts(*(f"answer {number}" for number in range(10 * MOST_LABELS))))
    assert finder._labels is None


def test_most_outputs_are_spans_of_their_inputs() -> None:
    questions = [
        TextRow(f"Context: it was built in {year}, of red brick. Question: when?", f"{year} ")
        for year in range(1700, 1720)
    ]
    unanswered = texts(*(f"not told {number}" for number in range(19)))
    assert finder_of([*questions, *unanswered]).task == Task.EXTRACTIVE_QUESTION_ANSWERING
    assert finder_of([*questions, *unanswered, *unanswered]).task == Task.GENERATION


def test_summaries_are_short_and_in_the_words_of_a_long_input() -> None:
    summaries = [TextRow(f"{number} {ARTICLE}", f"{number}: {SUMMARY}") for number in range(9)]
    assert finder_of(summaries).task == Task.SUMMARISATION


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (ARTICLE, "Dear Sir, kindly accept our apologies: someone shall call you tomorrow."),
        (ARTICLE[:200], SUMMARY),
        (ARTICLE, ARTICLE[::2]),
        ("What is 12 + 30?", "12 + 30 = 42"),
    ],
    ids=["other words", "short input", "long output", "a question"],
)
def test_other_texts_are_generated(prompt: str, answer: str) -> None:
    rows = [TextRow(f"{prompt} ({number})", f"{answer} ({number})") for number in range(9)]
    assert finder_of(rows).task == Task.GENERATION


def test_most_conversations_have_more_than_one_answer() -> None:
    long = [conversation("Hi", f"Hello {n}", "And?", f"Well, {n}") for n in range(5)]
    short = [conversation("Hi", f"Hello {n}") for n in range(5)]
    assert finder_of([*long, *short[:4]]).task == Task.CHAT
    assert finder_of([*long, *short]).task == Task.GENERATION


def test_answers_that_are_history_only_do_not_count() -> None:
    rows = [conversation("Hi", f"Hello {n}", "And?", f"Well, {n}") for n in range(5)]
    for row in rows:
        row.messages[1].learned = False
    assert finder_of(rows).task == Task.GENERATION


def test_a_label_is_one_short_line() -> None:
    assert can_be_label("pay_bill\n")
    assert not can_be_label("\n")
