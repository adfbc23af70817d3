"""Rows of Gemini's format: what is read of them, and what is said of broken ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kfp_llm_tuning.components.data.formats.format import UnwritableRowError
from kfp_llm_tuning.components.data.formats.gemini import GEMINI
from kfp_llm_tuning.components.data.formats.tools import define
from kfp_llm_tuning.components.data.reading.careful_check import check_line
from kfp_llm_tuning.components.data.rows import ChatRow, Message, MessagePlace, ToolCall
from tests.components.data.formats.row_reading import assistant, problems, read, user

RAIN = ToolCall("rain", {"at": "Bern", "days": 2})
TYPES = {"type": "OBJECT", "properties": {"at": {"type": "STRING"}}}
DECLARED = {"name": "rain", "parameters": TYPES}
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}


def content(role: str, *parts: Any, **further: Any) -> dict[str, Any]:
    written = [{"text": part} if isinstance(part, str) else part for part in parts]
    return {"role": role, "parts": written, **further}


def row(*contents: Any, **further: Any) -> dict[str, Any]:
    return {"contents": list(contents), **further}


ASKED, ANSWERED = content("user", "Rain in ", "Bern?"), content("model", "No.")
CALLED = content("model", {"functionCall": {"name": "rain", "args": {"at": "Bern", "days": 2}}})
PLAIN = [user("Rain in Bern?"), assistant("No.")]


def answer(response: dict[str, Any]) -> dict[str, Any]:
    return content("user", {"functionResponse": {"name": "rain", "response": response}})


GOOD = {
    "question and answer": (row(ASKED, ANSWERED), ChatRow(PLAIN)),
    "instruction": (
        row(ASKED, ANSWERED, systemInstruction=content("system", "Be ", "brief.")),
        ChatRow(PLAIN, "Be brief."),
    ),
    "snake case, instruction as a text": (
        row(ASKED, ANSWERED, system_instruction="Be brief."),
        ChatRow(PLAIN, "Be brief."),
    ),
    "thought, weight": (
        row(
            ASKED,
            {**ANSWERED, "weight": 0},
            ASKED,
            content("model", {"text": "It is dry.", "thought": True}, "No."),
        ),
        ChatRow(
            [
                PLAIN[0],
                assistant("No.", learned=False),
                PLAIN[0],
                assistant("No.", reasoning="It is dry."),
            ]
        ),
    ),
    "functions": (
        row(
            ASKED,
            CALLED,
            answer({"output": "0 mm"}),
            content("model", "None, and "),
            content("user", "go on"),
            CALLED,
            answer({"mm": [0, 1.5], "sure": True}),
            ANSWERED,
            tools=[{"functionDeclarations": [DECLARED]}],
        ),
        ChatRow(
            [
                PLAIN[0],
                assistant("", RAIN),
                Message("tool", "0 mm", name="rain"),
                assistant("None, and "),
                user("go on"),
                assistant("", RAIN),
                Message("tool", '{"mm":[0,1.5],"sure":true}', name="rain"),
                assistant("No."),
            ],
            tools=(define({"name": "rain", "parameters": SCHEMA}),),
        ),
    ),
    "two calls at once, as Google's SDK writes them": (
        row(
            ASKED,
            content(
                "model",
                {"text": None, "function_call": {"id": "1", "name": "rain", "args": None}},
                {"function_call": {"id": "2", "name": "snow", "args": {}}},
            ),
            content(
                "function",
                {"function_response": {"id": "2", "name": "snow", "response": {"result": "0"}}},
                {"function_response": {"id": "1", "name": "rain", "response": {"result": "1"}}},
            ),
            ANSWERED,
            tools=[{"function_declarations": [{"name": "rain", "parameters_json_schema": SCHEMA}]}],
        ),
        ChatRow(
            [
                PLAIN[0],
                assistant("", ToolCall("rain", {}, "1"), ToolCall("snow", {}, "2")),
                Message("tool", "0", name="snow", tool_call_id="2"),
                Message("tool", "1", name="rain", tool_call_id="1"),
                assistant("No."),
            ],
            tools=(define({"name": "rain", "parameters": SCHEMA}),),
        ),
    ),
}


@pytest.mark.parametrize(("given", "expected"), GOOD.values(), ids=GOOD)
def test_good_row_is_read_and_written(given: dict[str, Any], expected: ChatRow) -> None:
    found = read(given, GEMINI)
    assert found == expected
    assert read(GEMINI.write(found), GEMINI) == expected


@pytest.mark.parametrize(
    "said", ["0 mm", '{"output": "x"}', '{"output":"x"}', '{"mm":0}', "[1]", ""]
)
def test_answers_of_tools_are_written_without_loss(said: str) -> None:
    found = ChatRow(
        [user("a"), assistant("", RAIN), Message("tool", said, name="rain"), assistant("b")]
    )
    assert read(GEMINI.write(found), GEMINI) == found


def test_instructions_in_the_middle_have_no_place() -> None:
    found = ChatRow([user("a"), assistant("b"), Message("system", "c"), assistant("d")])
    with pytest.raises(UnwritableRowError, match="instructions before the conversation alone"):
        GEMINI.write(found)


BROKEN = {
    "contents is text": (
        {"contents": "hi"},
        [
            'contents: contents is a text ("hi"). '
            "Allowed: a list of contents, each with role and parts."
        ],
    ),
    "no content": (row(), ["contents: contents is empty. Allowed: messages."]),
    "content is text": (
        row("hi", ANSWERED),
        ['contents[0]: is a text ("hi"). Allowed: an object with role and parts.'],
    ),
    "no parts": (
        row({"role": "user", "content": "hi"}, ANSWERED),
        [
            'contents[0].parts: parts is missing. Did you mean parts where the row has "content"?',
        ],
    ),
    "empty parts": (
        row(content("user"), ANSWERED),
        ["contents[0].parts: parts is empty. Allowed: text."],
    ),
    "empty part": (
        row(content("user", ""), content("model", "", "No.", "")),
        ["contents[0].parts[0].text: text is empty. Allowed: text."],
    ),
    "part is text": (
        row({"role": "user", "parts": ["hi"]}, ANSWERED),
        ['contents[0].parts[0]: is a text ("hi"). Allowed: an object with text.'],
    ),
    "assistant": (
        row(ASKED, content("assistant", "No.")),
        ['contents[1].role: the role is "assistant". Allowed: user, model. Did you mean model?'],
    ),
    "system": (
        row(content("system", "Be brief."), ASKED, ANSWERED),
        [
            'contents[0].role: the role is "system". Allowed: user, model. '
            "Put what it says into the row's systemInstruction."
        ],
    ),
    "image": (
        row(content("user", {"inlineData": {"mimeType": "image/png", "data": ""}}), ANSWERED),
        [
            "contents[0].parts[0]: the part is a file within the row (inlineData). Allowed: text. "
            "Text models learn from text alone: leave such rows out."
        ],
    ),
    "file": (
        row(content("user", "What is it?", {"file_data": {"file_uri": "gs://b/o"}}), ANSWERED),
        [
            "contents[0].parts[1]: the part is a file (fileData). Allowed: text. "
            "Text models learn from text alone: leave such rows out."
        ],
    ),
    "unknown part": (
        row(content("user", {"words": "hi"}), ANSWERED),
        [
            'contents[0].parts[0]: the part has no text; its fields are "words". '
            "Allowed: text, functionCall, functionResponse."
        ],
    ),
    "no answer": (
        row(ASKED),
        ["contents: the conversation has no message of the model's. Add the answer to learn."],
    ),
    "ends with the user": (
        row(ASKED, ANSWERED, ASKED),
        [
            "contents: the conversation ends with the user's message. Allowed: the model last. "
            "Add the answer to learn."
        ],
    ),
    "arguments are text": (
        row(ASKED, content("model", {"functionCall": {"name": "f", "args": 5}})),
        ["contents[1].parts[0].functionCall.args: args is a number (5). Allowed: a JSON object."],
    ),
    "call without a name": (
        row(ASKED, content("model", {"functionCall": {"args": {}}})),
        ['contents[1].parts[0].functionCall.name: name is missing. The fields are "args".'],
    ),
    "answer of no call": (
        row(ASKED, answer({"output": "x"}), ANSWERED),
        [
            'contents[1].parts[0].functionResponse.response: the tool\'s answer refers to "rain", '
            "and no such call stands before it. Put the model's call before it."
        ],
    ),
    "answer is a text": (
        row(ASKED, CALLED, answer("x"), ANSWERED),  # type: ignore[arg-type]
        [
            'contents[2].parts[0].functionResponse.response: response is a text ("x"). '
            "Allowed: an object.",
        ],
    ),
    "search": (
        row(ASKED, ANSWERED, tools=[{"googleSearch": {}}]),
        [
            'tools[0]: the tool is "googleSearch", which models do not learn to call. '
            "Allowed: functionDeclarations."
        ],
    ),
    "wrong weight": (
        row(ASKED, {**ANSWERED, "weight": 2}),
        ["contents[1].weight: weight is a number (2). Allowed: 0 (not learned) or 1."],
    ),
    "repeated parts": (
        b'{"contents": [{"role": "user", "parts": [], "parts": [{"text": "a"}]}, '
        b'{"role": "model", "parts": [{"text": "b"}]}]}',
        ["contents[0].parts: parts stands 2 times in one object. Allowed: once."],
    ),
}


def test_messages_know_which_part_they_stood_in() -> None:
    thought = {"text": "Rain?", "thought": True}
    said = content("model", thought, "I look.", *CALLED["parts"])
    given = row(ASKED, said, answer({"output": "dry"}), content("model", "No."))
    [(_, found)] = check_line(json.dumps({"data": [given]}).encode(), GEMINI).rows
    assert isinstance(found, ChatRow)
    assert found.places == (
        MessagePlace("contents[0].parts"),
        MessagePlace(
            "contents[1].parts[1].text",
            "contents[1].parts[0].text",
            ("contents[1].parts[2].functionCall",),
        ),
        MessagePlace("contents[2].parts[0].functionResponse.response"),
        MessagePlace("contents[3].parts[0].text"),
    )


@pytest.mark.parametrize(("given", "expected"), BROKEN.values(), ids=BROKEN)
def test_broken_row_is_told(given: Any, expected: list[str]) -> None:
    assert problems(given, GEMINI) == expected
