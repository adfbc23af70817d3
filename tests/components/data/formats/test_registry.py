"""The registry: every format is there, knows its own rows, and tells them from the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.formats.registry import (
    FORMATS,
    UNKNOWN,
    format_of,
    formats_named,
    write_row,
)
from kfp_llm_tuning.components.data.reading.json_syntax import parse
from kfp_llm_tuning.components.data.rows import ChatRow, Row, TextRow
from kfp_llm_tuning.components.parameters.pipeline import TEXT
from tests.components.data.formats.row_reading import assistant, problems, read, user

TITLES = [each.title for each in FORMATS]


def test_every_name_has_a_format() -> None:
    assert {each.name for each in FORMATS} == set(FormatName)
    assert TEXT["dataset_format"].choices == ("", *FormatName)
    assert all(formats_named(name) for name in FormatName)


@pytest.mark.parametrize("expected", FORMATS, ids=TITLES)
def test_examples_of_messages_are_rows(expected: Format) -> None:
    example = expected.example.replace("[...]", "[]")
    fields = parse(example.encode())
    assert format_of(fields) is expected
    read(json.loads(example), expected)


@pytest.mark.parametrize("given", FORMATS, ids=TITLES)
@pytest.mark.parametrize("expected", FORMATS, ids=TITLES)
def test_rows_of_other_formats_are_named(given: Format, expected: Format) -> None:
    row = json.loads(given.example.replace("[...]", "[]"))
    if given.name == expected.name:
        return
    assert problems(row, expected)[0].startswith(
        f"the row is {given.title} where the file is {expected.title}. "
    )


@pytest.mark.parametrize("name", [name for name in FormatName if name != FormatName.PREFERENCE])
@pytest.mark.parametrize(
    "row",
    [
        TextRow("a", "b"),
        ChatRow([user("a"), assistant("b")]),
        ChatRow([user("a"), assistant("b"), user("c"), assistant("d")], "Be kind."),
    ],
    ids=["text", "question", "conversation"],
)
def test_rows_are_written_in_every_format(row: Row, name: FormatName) -> None:
    written = write_row(row, name)
    found = format_of(parse(json.dumps(written).encode()))
    assert found
    assert found.name == name
    same = row if found.row_format == "text" or isinstance(row, ChatRow) else as_chat(row)
    assert read(written, found) == same


def as_chat(row: TextRow) -> ChatRow:
    return ChatRow([user(row.input_text), assistant(row.output_text)])


UNKNOWN_ROWS: dict[str, tuple[Any, str]] = {
    "question and answer": (
        {"question": "a", "answer": "b"},
        'the row is in no known format: its fields are "question", "answer". The nearest is '
        f"published text: {PUBLISHED_TEXT.example} "
        "(rename question to input_text, answer to output_text).",
    ),
    "nothing near": (
        {"id": 1},
        'the row is in no known format: its fields are "id". '
        "Name what the model is given input_text, and what it is to write output_text; or write "
        "rows as openai, gemini, sharegpt, alpaca, prompt-completion.",
    ),
    "no field": (
        {},
        "the row is in no known format: it has no fields. "
        "Name what the model is given input_text, and what it is to write output_text; or write "
        "rows as openai, gemini, sharegpt, alpaca, prompt-completion.",
    ),
    "almost": (
        {"message": []},
        'the row is in no known format: its fields are "message". The nearest is published chat: '
        f"{PUBLISHED_CHAT.example} (rename message to messages).",
    ),
}


@pytest.mark.parametrize(("row", "expected"), UNKNOWN_ROWS.values(), ids=UNKNOWN_ROWS)
def test_a_row_in_no_known_format_is_told_the_nearest(row: Any, expected: str) -> None:
    assert problems(row, UNKNOWN) == [expected]
