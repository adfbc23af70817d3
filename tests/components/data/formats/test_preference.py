"""Preference data: the preferred answer is read, and broken rows are told."""

from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.components.data.formats.format import Format, UnwritableRowError
from kfp_llm_tuning.components.data.formats.preference import (
    CONVERSATIONAL_PREFERENCE,
    PREFERENCE,
)
from kfp_llm_tuning.components.data.rows import ChatRow, Row, TextRow
from tests.components.data.formats.row_reading import assistant, problems, read, user

ASKED = {"role": "user", "content": "a"}
GOOD_ANSWER = {"role": "assistant", "content": "good"}
BAD_ANSWER = {"role": "assistant", "content": "bad"}
CHAT = ChatRow([user("a"), assistant("good")])

GOOD: dict[str, tuple[Format, dict[str, Any], Row]] = {
    "texts": (
        PREFERENCE,
        {"prompt": "a", "chosen": "good", "rejected": "bad"},
        TextRow("a", "good"),
    ),
    "published": (
        PREFERENCE,
        {"input_text": "a", "candidate_0": "bad", "candidate_1": "good", "choice": 1},
        TextRow("a", "good"),
    ),
    "messages": (
        CONVERSATIONAL_PREFERENCE,
        {"prompt": [ASKED], "chosen": [GOOD_ANSWER], "rejected": [BAD_ANSWER]},
        CHAT,
    ),
    "prompt within": (
        CONVERSATIONAL_PREFERENCE,
        {"chosen": [ASKED, GOOD_ANSWER], "rejected": [ASKED, BAD_ANSWER]},
        CHAT,
    ),
    "prompt within and beside": (
        CONVERSATIONAL_PREFERENCE,
        {"prompt": "a", "chosen": [ASKED, GOOD_ANSWER], "rejected": [ASKED, BAD_ANSWER]},
        CHAT,
    ),
    "prompt as a text": (
        CONVERSATIONAL_PREFERENCE,
        {"prompt": "a", "chosen": [GOOD_ANSWER], "rejected": [BAD_ANSWER]},
        CHAT,
    ),
    "only the last answer is learned": (
        CONVERSATIONAL_PREFERENCE,
        {"chosen": [ASKED, BAD_ANSWER, ASKED, GOOD_ANSWER], "rejected": []},
        ChatRow([user("a"), assistant("bad", learned=False), *CHAT.messages]),
    ),
    "OpenAI": (
        CONVERSATIONAL_PREFERENCE,
        {
            "input": {"messages": [ASKED], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [GOOD_ANSWER],
            "non_preferred_output": [BAD_ANSWER],
        },
        CHAT,
    ),
}


@pytest.mark.parametrize(("expected", "given", "row"), GOOD.values(), ids=GOOD)
def test_preferred_answer_is_read(expected: Format, given: dict[str, Any], row: Row) -> None:
    assert read(given, expected) == row


def test_a_row_has_one_answer() -> None:
    with pytest.raises(UnwritableRowError, match="two answers"):
        PREFERENCE.write(TextRow("a", "b"))


BROKEN: dict[str, tuple[Format, dict[str, Any], list[str]]] = {
    "no prompt": (
        PREFERENCE,
        {"question": "a", "chosen": "good", "rejected": "bad"},
        ['prompt: prompt is missing. Did you mean prompt where the row has "question"?'],
    ),
    "empty": (
        PREFERENCE,
        {"prompt": "a", "chosen": "", "rejected": "bad"},
        ["chosen: chosen is empty. Allowed: text."],
    ),
    "choice": (
        PREFERENCE,
        {"input_text": "a", "candidate_0": "bad", "candidate_1": "good", "choice": 2},
        ["choice: choice is a number (2). Allowed: 0 or 1."],
    ),
    "no choice": (
        PREFERENCE,
        {"input_text": "a", "candidate_0": "bad", "candidate_1": "good"},
        ['choice: choice is missing. The fields are "input_text", "candidate_0", "candidate_1".'],
    ),
    "no input": (
        CONVERSATIONAL_PREFERENCE,
        {"preferred_output": [GOOD_ANSWER], "non_preferred_output": []},
        ['input: input is missing. The fields are "preferred_output", "non_preferred_output".'],
    ),
    "input is a list": (
        CONVERSATIONAL_PREFERENCE,
        {"input": [ASKED], "preferred_output": [GOOD_ANSWER], "non_preferred_output": []},
        ["input: input is a list of 1. Allowed: an object with messages."],
    ),
    "wrong answer": (
        CONVERSATIONAL_PREFERENCE,
        {"prompt": [ASKED], "chosen": [{"role": "assistant"}], "rejected": []},
        ['chosen[0].content: content is missing. The fields are "role".'],
    ),
}


@pytest.mark.parametrize(("expected", "given", "told"), BROKEN.values(), ids=BROKEN)
def test_broken_row_is_told(expected: Format, given: dict[str, Any], told: list[str]) -> None:
    assert problems(given, expected) == told
