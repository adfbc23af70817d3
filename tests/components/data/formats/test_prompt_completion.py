"""Rows of prompt and completion: what is read of them, and what is said of broken ones."""

from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.components.data.formats.format import Format, UnwritableRowError
from kfp_llm_tuning.components.data.formats.prompt_completion import (
    CONVERSATIONAL_PROMPT_COMPLETION,
    PROMPT_COMPLETION,
)
from kfp_llm_tuning.components.data.rows import ChatRow, Row, TextRow
from tests.components.data.formats.row_reading import assistant, problems, read, user

TEXT, CHAT = PROMPT_COMPLETION, CONVERSATIONAL_PROMPT_COMPLETION
ASKED = {"role": "user", "content": "a"}
ANSWERED = {"role": "assistant", "content": "b"}
BOTH = "Allowed: a text, or a list of messages, each with role and content."

GOOD: dict[str, tuple[Format, dict[str, Any], Row]] = {
    "texts": (TEXT, {"prompt": "a", "completion": "b"}, TextRow("a", "b")),
    "response": (TEXT, {"prompt": "a", "response": "b"}, TextRow("a", "b")),
    "messages": (
        CHAT,
        {"prompt": [ASKED], "completion": [ANSWERED]},
        ChatRow([user("a"), assistant("b")]),
    ),
    "history": (
        CHAT,
        {
            "prompt": [{"role": "system", "content": "Be brief."}, ASKED, ANSWERED, ASKED],
            "completion": [ANSWERED],
        },
        ChatRow([user("a"), assistant("b", learned=False), user("a"), assistant("b")], "Be brief."),
    ),
    "text and messages": (
        CHAT,
        {"prompt": "a", "completion": [ANSWERED]},
        ChatRow([user("a"), assistant("b")]),
    ),
    "texts among messages": (
        CHAT,
        {"prompt": "a", "completion": "b"},
        ChatRow([user("a"), assistant("b")]),
    ),
    "messages among texts": (
        TEXT,
        {"prompt": [ASKED], "completion": [ANSWERED]},
        TextRow("a", "b"),
    ),
}


@pytest.mark.parametrize(("expected", "given", "row"), GOOD.values(), ids=GOOD)
def test_good_row_is_read_and_written(expected: Format, given: dict[str, Any], row: Row) -> None:
    found = read(given, expected)
    assert found == row
    assert read(expected.write(found), expected) == row


def test_what_is_learned_must_stand_last() -> None:
    row = ChatRow([user("a"), assistant("b"), user("c"), assistant("d", learned=False)])
    with pytest.raises(UnwritableRowError, match="learns all after the prompt"):
        CHAT.write(row)


BROKEN: dict[str, tuple[Format, dict[str, Any], list[str]]] = {
    "no completion": (
        TEXT,
        {"prompt": "a", "answer": "b"},
        ['completion: completion is missing. Did you mean completion where the row has "answer"?'],
    ),
    "no prompt": (
        TEXT,
        {"completion": "b"},
        ['prompt: prompt is missing. The fields are "completion".'],
    ),
    "number": (
        TEXT,
        {"prompt": 5, "completion": None},
        [f"prompt: prompt is a number (5). {BOTH}", f"completion: completion is null. {BOTH}"],
    ),
    "empty": (
        TEXT,
        {"prompt": "", "completion": ""},
        [
            "prompt: prompt is empty. Allowed: text.",
            "completion: completion is empty. Allowed: text.",
        ],
    ),
    "conversation among texts": (
        TEXT,
        {"prompt": [ASKED, ANSWERED, ASKED], "completion": [ANSWERED]},
        [
            "the row is a conversation where texts are expected. "
            "Allowed: a question and its answer. Name a chat model in large_model_reference."
        ],
    ),
    "no answer": (
        CHAT,
        {"prompt": [ASKED], "completion": []},
        [
            "completion: the conversation has no message of the assistant's. "
            "Add the answer to learn."
        ],
    ),
    "wrong message": (
        CHAT,
        {"prompt": [{"role": "user"}], "completion": [ANSWERED]},
        ['prompt[0].content: content is missing. The fields are "role".'],
    ),
}


@pytest.mark.parametrize(("expected", "given", "told"), BROKEN.values(), ids=BROKEN)
def test_broken_row_is_told(expected: Format, given: dict[str, Any], told: list[str]) -> None:
    assert problems(given, expected) == told
