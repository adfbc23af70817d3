"""Rows made of the types of the openai and google-genai packages are read, and written again."""

from __future__ import annotations

import json
from typing import Any

from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import (
    ChatCompletionContentPartTextParam,
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionMessageParam,
)
from pydantic import TypeAdapter

from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.gemini import GEMINI
from kfp_llm_tuning.components.data.formats.openai_chat import OPENAI
from kfp_llm_tuning.components.data.formats.registry import format_of
from kfp_llm_tuning.components.data.reading.json_syntax import parse
from kfp_llm_tuning.components.data.rows import Row
from tests.components.data.formats.row_reading import read

PROPERTY = settings(max_examples=60, deadline=None)

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
filled = words.filter(bool)
names = st.sampled_from(["rain", "snow", "get_time"])
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | words
arguments = st.dictionaries(filled, scalars | st.lists(scalars, max_size=2), max_size=3)
schemas = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(filled, st.just({"type": "string"}))}
)

# Of openai: a TypedDict for every role.
parts = st.lists(
    filled.map(lambda text: ChatCompletionContentPartTextParam(type="text", text=text)),
    min_size=1,
    max_size=3,
)
contents = filled | parts
tools = st.lists(
    st.builds(
        lambda name, schema, description: ChatCompletionFunctionToolParam(
            type="function",
            function={"name": name, "parameters": schema, "description": description},
        ),
        names,
        schemas,
        words,
    ),
    max_size=2,
)
check_message = TypeAdapter(ChatCompletionMessageParam).validate_python


@st.composite
def openai_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A conversation that OpenAI's API takes: with calls of tools, and their answers."""
    messages: list[Any] = []
    if draw(st.booleans()):
        role = draw(st.sampled_from(["system", "developer"]))
        messages.append({"role": role, "content": draw(contents)})
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(contents)})
        calls = [
            ChatCompletionMessageFunctionToolCallParam(
                id=f"call_{len(messages)}_{number}",
                type="function",
                function={"name": draw(names), "arguments": json.dumps(draw(arguments))},
            )
            for number in range(draw(st.integers(0, 2)))
        ]
        if calls:
            said = draw(st.none() | contents)
            messages.append({"role": "assistant", "content": said, "tool_calls": calls})
            messages += (
                {"role": "tool", "tool_call_id": call["id"], "content": draw(words | parts)}
                for call in draw(st.permutations(calls))
            )
        answer = draw(contents)
        messages.append({"role": "assistant", "content": answer})
    for message in messages:
        check_message(message)
    return {"messages": messages, "tools": draw(tools)}


# Of google-genai: pydantic models, written in both of their spellings.
texts = st.builds(types.Part, text=filled)
thoughts = st.builds(types.Part, text=filled, thought=st.just(True))
declarations = st.lists(
    st.builds(
        types.FunctionDeclaration,
        name=names,
        description=words,
        parameters=st.builds(
            types.Schema,
            type=st.just(types.Type.OBJECT),
            properties=st.dictionaries(filled, st.builds(types.Schema, type=st.just("STRING"))),
        ),
    ),
    min_size=1,
    max_size=2,
)


@st.composite
def gemini_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A conversation that Gemini's API takes: with thoughts, calls of functions, and answers."""
    said: list[types.Content] = []
    for _ in range(draw(st.integers(1, 3))):
        said.append(types.Content(role="user", parts=draw(st.lists(texts, min_size=1, max_size=2))))
        if draw(st.booleans()):
            call = types.FunctionCall(name=draw(names), args=draw(arguments))
            response = types.FunctionResponse(name=call.name, response=draw(arguments))
            said.append(types.Content(role="model", parts=[types.Part(function_call=call)]))
            said.append(types.Content(role="user", parts=[types.Part(function_response=response)]))
        thought = draw(st.lists(thoughts, max_size=1))
        answer = draw(st.lists(texts, min_size=1, max_size=2))
        said.append(types.Content(role="model", parts=[*thought, *answer]))
    by_alias, exclude_none = draw(st.booleans()), draw(st.booleans())

    def written(model: Any) -> Any:
        return model.model_dump(mode="json", by_alias=by_alias, exclude_none=exclude_none)

    row: dict[str, Any] = {"contents": [written(content) for content in said]}
    if draw(st.booleans()):
        told = types.Content(role="system", parts=draw(st.lists(texts, min_size=1, max_size=2)))
        row["systemInstruction" if by_alias else "system_instruction"] = written(told)
    if draw(st.booleans()):
        row["tools"] = [written(types.Tool(function_declarations=draw(declarations)))]
    return row


def reread(row: dict[str, Any], expected: Format) -> tuple[Row, Row]:
    fields = parse(json.dumps(row).encode())
    assert format_of(fields) is expected
    found = read(row, expected)
    return found, read(expected.write(found), expected)


@PROPERTY
@given(row=openai_rows())
def test_rows_of_openais_types_are_read_and_written(row: dict[str, Any]) -> None:
    found, again = reread(row, OPENAI)
    assert found == again


@PROPERTY
@given(row=gemini_rows())
def test_rows_of_googles_types_are_read_and_written(row: dict[str, Any]) -> None:
    found, again = reread(row, GEMINI)
    assert found == again


@PROPERTY
@given(row=openai_rows())
def test_openais_rows_become_geminis_without_loss(row: dict[str, Any]) -> None:
    found = read(row, OPENAI)
    assert read(GEMINI.write(found), GEMINI) == found
