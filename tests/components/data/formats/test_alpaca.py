"""Rows of Alpaca: what is read of them, and what is said of broken ones."""

from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.components.data.formats.alpaca import ALPACA
from kfp_llm_tuning.components.data.formats.format import UnwritableRowError
from kfp_llm_tuning.components.data.rows import ChatRow, ToolCall
from tests.components.data.formats.row_reading import assistant, problems, read, user

GOOD = {
    "instruction": (
        {"instruction": "Add.", "output": "3"},
        ChatRow([user("Add."), assistant("3")]),
    ),
    "input": (
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
        ChatRow([user("Add.\n1 and 2"), assistant("3")]),
    ),
    "input alone, nulls of a table": (
        {"instruction": "", "input": "1 and 2", "output": "3", "system": None, "history": None},
        ChatRow([user("1 and 2"), assistant("3")]),
    ),
    "system and history": (
        {
            "instruction": "And 4?",
            "input": "",
            "output": "7",
            "system": "You add.",
            "history": [["1 and 2?", "3"]],
        },
        ChatRow([user("1 and 2?"), assistant("3"), user("And 4?"), assistant("7")], "You add."),
    ),
}


@pytest.mark.parametrize(("given", "expected"), GOOD.values(), ids=GOOD)
def test_good_row_is_read_and_written(given: dict[str, Any], expected: ChatRow) -> None:
    found = read(given, ALPACA)
    assert found == expected
    assert read(ALPACA.write(found), ALPACA) == expected


def test_reasoning_stands_before_the_answer() -> None:
    written = ALPACA.write(ChatRow([user("a"), assistant("b", reasoning="c")]))
    assert written["output"] == "<think>\nc\n</think>\n\nb"


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([user("a"), assistant("", ToolCall("f", {}))], "Alpaca has no tools"),
        ([user("a"), assistant("b", learned=False), user("c"), assistant("d")], "no weights"),
        ([user("a"), user("b"), assistant("c")], "user and assistant in turn"),
    ],
)
def test_what_has_no_place_is_refused(messages: Any, expected: str) -> None:
    with pytest.raises(UnwritableRowError, match=expected):
        ALPACA.write(ChatRow(messages))


PAIRS = "Allowed: a list of pairs, each a question and its answer."
BROKEN = {
    "no output": (
        {"instruction": "Add.", "input": "1", "response": "3"},
        ['output: output is missing. Did you mean output where the row has "response"?'],
    ),
    "empty": (
        {"instruction": "", "output": ""},
        [
            "instruction: instruction is empty. Allowed: text.",
            "output: output is empty. Allowed: text.",
        ],
    ),
    "numbers": (
        {"instruction": "Add.", "input": 3, "output": 4, "system": 5},
        [
            "system: system is a number (5). Allowed: text.",
            "input: input is a number (3). Allowed: text.",
            "output: output is a number (4). Allowed: text.",
        ],
    ),
    "history is text": (
        {"instruction": "Add.", "output": "3", "history": "x"},
        [f'history: history is a text ("x"). {PAIRS}'],
    ),
    "history of three": (
        {"instruction": "Add.", "output": "3", "history": [["a", "b", "c"], ["a", ""]]},
        [
            f"history[0]: is a list of 3. {PAIRS}",
            "history[1][1]: is empty. Allowed: text.",
        ],
    ),
}


@pytest.mark.parametrize(("given", "expected"), BROKEN.values(), ids=BROKEN)
def test_broken_row_is_told(given: Any, expected: list[str]) -> None:
    assert problems(given, ALPACA) == expected
