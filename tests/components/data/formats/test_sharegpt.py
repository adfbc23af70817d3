"""Rows of ShareGPT: what is read of them, and what is said of broken ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kfp_llm_tuning.components.data.formats.sharegpt import SHAREGPT
from kfp_llm_tuning.components.data.formats.tools import define
from kfp_llm_tuning.components.data.rows import ChatRow, Message, ToolCall
from tests.components.data.formats.row_reading import assistant, problems, read, user

CALL = json.dumps({"name": "rain", "arguments": {"at": "Bern"}})
RAIN = ToolCall("rain", {"at": "Bern"})


def row(*turns: tuple[str, Any], **further: Any) -> dict[str, Any]:
    said = [{"from": author, "value": value} for author, value in turns]
    return {"conversations": said, **further}


GOOD = {
    "question and answer": (
        row(("human", "a"), ("gpt", "b")),
        ChatRow([user("a"), assistant("b")]),
    ),
    "system beside": (
        row(("user", "a"), ("assistant", "b"), system="Be brief."),
        ChatRow([user("a"), assistant("b")], "Be brief."),
    ),
    "system first": (
        row(("system", "Be brief."), ("human", "a"), ("gpt", "b")),
        ChatRow([user("a"), assistant("b")], "Be brief."),
    ),
    "tools": (
        row(
            ("human", "a"),
            ("function_call", CALL),
            ("observation", "0 mm"),
            ("gpt", "b"),
            tools=json.dumps([{"name": "rain", "parameters": {}}]),
        ),
        ChatRow(
            [
                user("a"),
                assistant("", RAIN),
                Message("tool", "0 mm", name="rain"),
                assistant("b"),
            ],
            tools=(define({"name": "rain", "parameters": {}}),),
        ),
    ),
    "two calls": (
        row(("human", "a"), ("function_call", f"[{CALL}, {CALL}]"), tools=""),
        ChatRow([user("a"), assistant("", RAIN, RAIN)]),
    ),
    "weight": (
        {
            "conversations": [
                {"from": "human", "value": "a"},
                {"from": "gpt", "value": "b", "weight": 0},
                {"from": "human", "value": "c"},
                {"from": "gpt", "value": "d", "weight": 1},
            ]
        },
        ChatRow([user("a"), assistant("b", learned=False), user("c"), assistant("d")]),
    ),
}


@pytest.mark.parametrize(("given", "expected"), GOOD.values(), ids=GOOD)
def test_good_row_is_read_and_written(given: dict[str, Any], expected: ChatRow) -> None:
    found = read(given, SHAREGPT)
    assert found == expected
    assert read(SHAREGPT.write(found), SHAREGPT) == expected


BROKEN = {
    "unknown author": (
        row(("human", "a"), ("narrator", "b")),
        [
            'conversations[1].from: the author is "narrator". '
            "Allowed: human, gpt, system, function_call, observation."
        ],
    ),
    "no value": (
        {"conversations": [{"from": "human", "content": "a"}, {"from": "gpt", "value": "b"}]},
        [
            "conversations[0].value: value is missing. "
            'Did you mean value where the row has "content"?'
        ],
    ),
    "value is null": (
        row(("human", None), ("gpt", "b")),
        ["conversations[0].value: value is null. Allowed: text."],
    ),
    "empty answer": (
        row(("human", "a"), ("gpt", "")),
        ["conversations[1].value: value is empty. Allowed: text."],
    ),
    "begins with gpt": (
        row(("gpt", "a"), ("human", "b"), ("gpt", "c")),
        [
            "conversations[0].value: the conversation begins with the gpt's message: nothing is "
            "asked. Allowed: the user first. Put what the user says before it, or take it out."
        ],
    ),
    "call is no JSON": (
        row(("human", "a"), ("function_call", "rain(Bern)")),
        [
            'conversations[1].value: value is a text that is no JSON ("rain(Bern)"). '
            "Allowed: a JSON object with name and arguments."
        ],
    ),
    "observation of nothing": (
        row(("human", "a"), ("observation", "0 mm"), ("gpt", "b")),
        [
            "conversations[1].value: the tool answers where nothing was called. "
            "Put the gpt's call before it."
        ],
    ),
    "tools are no JSON": (
        row(("human", "a"), ("gpt", "b"), tools="rain"),
        [
            'tools: tools is a text that is no JSON ("rain"). '
            "Allowed: a list of functions, each with name and parameters."
        ],
    ),
    "no conversations": (
        {"conversations": None},
        [
            "conversations: conversations is null. "
            "Allowed: a list of messages, each with from and value."
        ],
    ),
}


@pytest.mark.parametrize(("given", "expected"), BROKEN.values(), ids=BROKEN)
def test_broken_row_is_told(given: Any, expected: list[str]) -> None:
    assert problems(given, SHAREGPT) == expected
