"""Rows of OpenAI chat: what is read of them, and what is said of broken ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kfp_llm_tuning.components.data.formats.openai_chat import OPENAI
from kfp_llm_tuning.components.data.formats.openai_messages import write_message
from kfp_llm_tuning.components.data.formats.tools import define
from kfp_llm_tuning.components.data.reading.careful_check import check_line
from kfp_llm_tuning.components.data.rows import ChatRow, Message, MessagePlace, ToolCall, answers
from tests.components.data.formats.row_reading import (
    assistant,
    problems,
    read,
    user,
    without_places,
)

ASKED = {"role": "user", "content": "Rain in Bern?"}
ANSWERED = {"role": "assistant", "content": "No."}
CALL = {"id": "c1", "type": "function", "function": {"name": "rain", "arguments": '{"at": "Bern"}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": '{"mm": 0}'}
RAIN = ToolCall("rain", {"at": "Bern"}, "c1")
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
FUNCTION = {"name": "rain", "description": "How much it rains.", "parameters": SCHEMA}


def row(*messages: Any, **further: Any) -> dict[str, Any]:
    return {"messages": list(messages), **further}


GOOD = {
    "question and answer": (
        row(ASKED, ANSWERED),
        ChatRow([user("Rain in Bern?"), assistant("No.")]),
    ),
    "system": (
        row({"role": "system", "content": "Be brief."}, ASKED, ANSWERED),
        ChatRow([user("Rain in Bern?"), assistant("No.")], "Be brief."),
    ),
    "developer after system": (
        row(
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "Be kind."},
            ASKED,
            ANSWERED,
        ),
        ChatRow([user("Rain in Bern?"), assistant("No.")], "Be brief.\n\nBe kind."),
    ),
    "system in the middle": (
        row(ASKED, ANSWERED, {"role": "system", "content": "Now shout."}, ASKED, ANSWERED),
        ChatRow(
            [
                user("Rain in Bern?"),
                assistant("No."),
                Message("system", "Now shout."),
                user("Rain in Bern?"),
                assistant("No."),
            ]
        ),
    ),
    "parts": (
        row(
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Rain "},
                    {"type": "text", "text": "in Bern?"},
                ],
            },
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        ),
        ChatRow([user("Rain in Bern?"), assistant("No.")]),
    ),
    "refusal": (
        row(ASKED, {"role": "assistant", "content": None, "refusal": "No."}),
        ChatRow([user("Rain in Bern?"), assistant("No.")]),
    ),
    "tools": (
        row(
            ASKED,
            CALLED,
            RESULT,
            ANSWERED,
            tools=[{"type": "function", "function": FUNCTION}],
            parallel_tool_calls=False,
        ),
        ChatRow(
            [
                user("Rain in Bern?"),
                assistant("", RAIN),
                Message("tool", '{"mm": 0}', name="rain", tool_call_id="c1"),
                assistant("No."),
            ],
            tools=(define(FUNCTION),),
        ),
    ),
    "arguments as an object, tools without wrapping, nulls of a table": (
        row(
            {**ASKED, "tool_calls": None, "name": None},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"name": "rain", "arguments": {"at": "Bern"}}],
            },
            tools=[{**FUNCTION, "strict": None}],
        ),
        ChatRow(
            [user("Rain in Bern?"), assistant("", ToolCall("rain", {"at": "Bern"}))],
            tools=(define(FUNCTION),),
        ),
    ),
    "former functions": (
        row(
            ASKED,
            {"role": "assistant", "function_call": {"name": "rain", "arguments": "{}"}},
            {"role": "function", "name": "rain", "content": "0 mm"},
            ANSWERED,
            functions=[FUNCTION],
        ),
        ChatRow(
            [
                user("Rain in Bern?"),
                assistant("", ToolCall("rain", {})),
                Message("tool", "0 mm", name="rain"),
                assistant("No."),
            ],
            tools=(define(FUNCTION),),
        ),
    ),
    "weight and reasoning": (
        row(
            ASKED,
            {**ANSWERED, "weight": 0},
            ASKED,
            {**ANSWERED, "weight": 1, "reasoning_content": "It is dry."},
        ),
        ChatRow(
            [
                user("Rain in Bern?"),
                assistant("No.", learned=False),
                user("Rain in Bern?"),
                assistant("No.", reasoning="It is dry."),
            ]
        ),
    ),
    "several in a row": (
        row(ASKED, ASKED, ANSWERED, ANSWERED),
        ChatRow([user("Rain in Bern?")] * 2 + [assistant("No.")] * 2),
    ),
}


@pytest.mark.parametrize(("given", "expected"), GOOD.values(), ids=GOOD)
def test_good_row_is_read_and_written(given: dict[str, Any], expected: ChatRow) -> None:
    found = read(given, OPENAI)
    assert found == expected
    assert read(OPENAI.write(found), OPENAI) == expected


def test_conversations_with_roles_are_read_too() -> None:
    given = {"conversations": [ASKED, ANSWERED]}
    assert read(given, OPENAI) == GOOD["question and answer"][1]


def test_messages_know_where_they_stood() -> None:
    line = b'{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": '
    line += b'"in"}, {"role": "assistant", "content": "out"}]}'
    [(_, found)] = check_line(line, OPENAI).rows
    assert isinstance(found, ChatRow)
    assert [found.path(position) for position, _ in answers(found)] == ["messages[2].content"]
    [(place, listed)] = check_line(b'{"data": [' + line + b"]}", OPENAI).rows
    assert (place, listed) == ("data[0]", found)
    assert without_places(found) == ChatRow([user("in"), assistant("out")], "Be brief.")


@pytest.mark.parametrize(
    ("calls", "places"),
    [
        (
            {"tool_calls": [{"function": {"name": "rain"}}, {"name": "snow"}]},
            ("messages[1].tool_calls[0]", "messages[1].tool_calls[1]"),
        ),
        ({"function_call": {"name": "rain"}}, ("messages[1].function_call",)),
    ],
)
def test_calls_and_reasoning_know_where_they_stood(
    calls: dict[str, Any], places: tuple[str, ...]
) -> None:
    said = {"role": "assistant", "content": "", "thinking": "Rain?", **calls}
    [(_, found)] = check_line(json.dumps({"messages": [ASKED, said]}).encode(), OPENAI).rows
    assert isinstance(found, ChatRow)
    place = found.places[1]
    assert place == MessagePlace("messages[1].content", "messages[1].thinking", places)
    assert [place.part(f"tool_calls[{i}]") for i in range(len(places))] == list(places)
    assert place.part("reasoning") == "messages[1].thinking"
    assert place.part("") == place.content


def test_a_call_alone_has_no_content() -> None:
    assert write_message(assistant("", RAIN))["content"] is None


MESSAGES = "Allowed: a list of messages, each with role and content."
BROKEN = {
    "no messages": (
        {"message": [ASKED, ANSWERED]},
        ['messages: messages is missing. Did you mean messages where the row has "message"?'],
    ),
    "messages is text": ({"messages": "hi"}, [f'messages: messages is a text ("hi"). {MESSAGES}']),
    "no message": (row(), ["messages: messages is empty. Allowed: messages."]),
    "message is text": (
        row("hi", ANSWERED),
        ['messages[0]: is a text ("hi"). Allowed: an object with role and content.'],
    ),
    "no role": (
        row({"speaker": "user", "content": "a"}, ANSWERED),
        ['messages[0].role: role is missing. Did you mean role where the row has "speaker"?'],
    ),
    "unknown role": (
        row({"role": "human", "content": "a"}, ANSWERED),
        [
            'messages[0].role: the role is "human". Allowed: system, developer, user, assistant, '
            "tool. Did you mean user?"
        ],
    ),
    "no content": (
        row(ASKED, {"role": "assistant", "text": "No."}),
        ['messages[1].content: content is missing. Did you mean content where the row has "text"?'],
    ),
    "content is null": (
        row(ASKED, {"role": "assistant", "content": None}),
        ["messages[1].content: content is null. Allowed: text."],
    ),
    "content is empty": (
        row({"role": "user", "content": ""}, ANSWERED),
        ["messages[0].content: content is empty. Allowed: text."],
    ),
    "content is a number": (
        row({"role": "user", "content": 5}, ANSWERED),
        ["messages[0].content: content is a number (5). Allowed: text."],
    ),
    "no part": (
        row({"role": "user", "content": []}, ANSWERED),
        ["messages[0].content: content is empty. Allowed: text."],
    ),
    "image": (
        row(
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "x"}}],
            },
            ANSWERED,
        ),
        [
            "messages[0].content[0].type: the message holds an image. Allowed: text. "
            "Text models learn from text alone: leave such rows out."
        ],
    ),
    "part without text": (
        row({"role": "user", "content": [{"type": "text", "value": "a"}]}, ANSWERED),
        [
            "messages[0].content[0].text: text is missing. "
            'Did you mean text where the row has "value"?'
        ],
    ),
    "no answer": (
        row(ASKED),
        ["messages: the conversation has no message of the assistant's. Add the answer to learn."],
    ),
    "ends with the user": (
        row(ASKED, ANSWERED, ASKED),
        [
            "messages: the conversation ends with the user's message. "
            "Allowed: the assistant last. Add the answer to learn."
        ],
    ),
    "begins with the assistant": (
        row(ANSWERED),
        [
            "messages[0].content: the conversation begins with the assistant's message: nothing is "
            "asked. Allowed: the user first. Put what the user says before it, or take it out."
        ],
    ),
    "wrong weight": (
        row(ASKED, {**ANSWERED, "weight": 0.5}),
        ["messages[1].weight: weight is a number (0.5). Allowed: 0 (not learned) or 1."],
    ),
    "weight is true": (
        row(ASKED, {**ANSWERED, "weight": True}),
        ["messages[1].weight: weight is true. Allowed: 0 (not learned) or 1."],
    ),
    "nothing learned": (
        row(ASKED, {**ANSWERED, "weight": 0}),
        [
            "messages: every message of the assistant's has the weight 0: nothing is learned. "
            "Allowed: the weight 1 for one at least."
        ],
    ),
    "answer of no call": (
        row(ASKED, RESULT, ANSWERED),
        [
            'messages[1].content: the tool\'s answer refers to "c1", and no such call stands '
            "before it. Put the assistant's call before it."
        ],
    ),
    "answer of another call": (
        row(ASKED, CALLED, {**RESULT, "tool_call_id": "c2"}, ANSWERED),
        [
            'messages[2].content: the tool\'s answer refers to "c2", and no such call stands '
            'before it. Allowed: an answer to "c1". Put the assistant\'s call before it.'
        ],
    ),
    "arguments are no JSON": (
        row(ASKED, {**CALLED, "tool_calls": [{"function": {"name": "f", "arguments": "at=Bern"}}]}),
        [
            "messages[1].tool_calls[0].function.arguments: arguments is a text that is no JSON "
            '("at=Bern"). Allowed: a JSON object.'
        ],
    ),
    "arguments are a list": (
        row(ASKED, {**CALLED, "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}),
        [
            "messages[1].tool_calls[0].function.arguments: arguments is a text that holds a list "
            "of 1. Allowed: a JSON object."
        ],
    ),
    "call of no function": (
        row(ASKED, {**CALLED, "tool_calls": [{"id": "c1"}]}),
        ['messages[1].tool_calls[0].function: function is missing. The fields are "id".'],
    ),
    "custom tool": (
        row(ASKED, {**CALLED, "tool_calls": [{"type": "custom", "custom": {}}]}),
        [
            'messages[1].tool_calls[0].type: the call is of the type "custom". Allowed: function.',
        ],
    ),
    "tools is an object": (
        row(ASKED, ANSWERED, tools={}),
        ["tools: tools is an object. Allowed: a list of functions, each with name and parameters."],
    ),
    "tool without a name": (
        row(ASKED, ANSWERED, tools=[{"type": "function", "function": {"parameters": {}}}]),
        ['tools[0].function.name: name is missing. The fields are "parameters".'],
    ),
    "repeated content": (
        b'{"messages": [{"role": "user", "content": "a", "content": "b"}, '
        b'{"role": "assistant", "content": "c"}]}',
        ["messages[0].content: content stands 2 times in one object. Allowed: once."],
    ),
    "repeated argument": (
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": '
        b'[{"function": {"name": "f", "arguments": {"at": 1, "at": 2}}}]}]}',
        [
            "messages[1].tool_calls[0].function.arguments.at: at stands 2 times in one object. "
            "Allowed: once."
        ],
    ),
    "several mistakes": (
        row({"role": "user", "content": ""}, {"role": "model", "content": 1}, tools=[5]),
        [
            "tools[0]: is a number (5). Allowed: an object with name and parameters.",
            "messages[0].content: content is empty. Allowed: text.",
            'messages[1].role: the role is "model". Allowed: system, developer, user, assistant, '
            "tool. Did you mean assistant?",
            "messages[1].content: content is a number (1). Allowed: text.",
        ],
    ),
    "published chat": (
        row({"author": "user", "content": "a"}, {"author": "assistant", "content": "b"}),
        [
            "the row is published chat where the file is OpenAI chat. Allowed: "
            f"{OPENAI.example}. Write every row in one format."
        ],
    ),
}


@pytest.mark.parametrize(("given", "expected"), BROKEN.values(), ids=BROKEN)
def test_broken_row_is_told(given: Any, expected: list[str]) -> None:
    assert problems(given, OPENAI) == expected
