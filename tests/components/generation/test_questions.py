"""Rows as questions: every format, with and without its answer; every container; what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.formats.registry import write_row
from kfp_llm_tuning.components.data.rows import ChatRow, Message, TextRow, ToolCall
from kfp_llm_tuning.components.generation.instances import Instance, text_instance
from kfp_llm_tuning.components.generation.questions import read_question, read_questions

TALK = [Message("user", "q"), Message("assistant", "a"), Message("user", "r")]
ANSWERED = [*TALK, Message("assistant", "b")]
ASKED = Instance(tuple(TALK), "be kind", is_chat=True)
LISTS = ("messages", "contents", "conversations")


def asked(row: Any) -> list[tuple[str, str]]:
    return [(said.author, said.content) for said in read_question(row).messages]


@pytest.mark.parametrize("name", ["published", "openai", "gemini", "sharegpt"])
@pytest.mark.parametrize("with_answer", [True, False])
def test_conversations_of_every_format(name: str, with_answer: bool) -> None:
    row = write_row(ChatRow(ANSWERED, "be kind"), FormatName(name))
    entries = next(row[name] for name in LISTS if name in row)
    assert isinstance(entries, list)
    if not with_answer:
        entries.pop()
    assert read_question(row) == ASKED


@pytest.mark.parametrize("name", ["published", "prompt-completion", "alpaca"])
@pytest.mark.parametrize("answer", ["b", "", None])
def test_texts_of_every_format(name: str, answer: str | None) -> None:
    row = write_row(TextRow("q", "a"), FormatName(name))
    row = {field: answer if said == "a" else said for field, said in row.items()}
    assert asked(row) == [("user", "q")]
    assert asked({field: said for field, said in row.items() if said}) == [("user", "q")]


@pytest.mark.parametrize("row", [{"input_text": "a"}, {"prompt": "a", "n": 1}, {"content": "a"}])
def test_texts_of_clients(row: dict[str, Any]) -> None:
    assert read_question(row) == text_instance("a")


def test_conversational_prompts_and_pairs() -> None:
    user, answer = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
    for row in (
        {"prompt": [user]},
        {"prompt": [user], "completion": [answer]},
        {"prompt": [user], "chosen": [answer], "rejected": [answer]},
        {"chosen": [user, answer], "rejected": [user, answer]},
    ):
        assert read_question(row) == Instance((Message("user", "q"),), is_chat=True)


def test_a_tools_answer_asks_too() -> None:
    call = ToolCall("find", {"a": 1}, "1")
    tool = {"type": "function", "function": {"name": "find"}}
    said = [Message("user", "q"), Message("assistant", "", tool_calls=(call,))]
    said.append(Message("tool", "found", name="find", tool_call_id="1"))
    row = write_row(ChatRow([*said, Message("assistant", "a")], tools=(tool,)), FormatName.OPENAI)
    assert isinstance(row["messages"], list)
    row["messages"].pop()
    instance = read_question(row)
    assert (instance.messages, instance.tools[0]["type"]) == (tuple(said), "function")


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        "text",
        {},
        {"input_text": 5},
        {"input_text": ""},
        {"messages": []},
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"messages": [{"author": "user"}]},
        {"messages": [{"author": "assistant", "content": "a"}]},
        {"messages": [{"author": "bot", "content": "a"}]},
        {"messages": [{"author": "user", "content": "a"}] * 2},
        {"messages": [{"author": "user", "content": "a"}], "context": 5},
        {"messages": [{"role": "assistant", "content": "a"}]},
    ],
)
def test_row_that_asks_nothing(row: Any) -> None:
    with pytest.raises(UserError):
        read_question(row)


@pytest.mark.parametrize("row", [{"prompt": "a\ud800"}, {"prompt": "a", "n": "\udbff"}])
def test_half_a_character_is_refused(row: Any) -> None:
    with pytest.raises(UserError, match="half of a surrogate pair"):
        read_question(row)


def test_every_container_and_rows_of_several_formats(tmp_path: Path) -> None:
    table, array = tmp_path / "a.csv", tmp_path / "b.json"
    table.write_text('prompt,completion\none,x\n"t,wo",\n')
    array.write_text('[{"messages": [{"role": "user", "content": "three"}]}]')
    lines = tmp_path / "c.jsonl"
    lines.write_bytes(
        b'\xef\xbb\xbf{"data": [{"input_text": "four"}]}\r\n\n{"instruction": "five"}'
    )
    read = read_questions(f"{table},{array},{lines}")
    contents = [instance.messages[0].content for instance in read]
    assert contents == ["one", "t,wo", "three", "four", "five"]
    assert read[1].where.endswith("a.csv line 3")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "the line ends within a value"),
        ("[]", "the row is an empty list"),
        ('{"prompt": NaN}', "NaN is not JSON"),
        ('{"prompt": "\\ud800"}', "without its other half"),
        ('{"prompt": "a", "prompt": "b"}', "prompt stands 2 times in one object"),
        ('{"question": "a"}', "the row is in no known format"),
        ('{"messages": [{"role": "user"}]}', r"messages\[0\]"),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_every_bad_line_is_told_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    source = tmp_path / "x.jsonl"
    source.write_text("\n".join([json.dumps({"prompt": "a"}), line, '{"prompt": 5}']))
    with pytest.raises(UserError) as caught:
        read_questions(str(source))
    first, second = (str(problem) for problem in caught.value.problems)
    assert first.startswith("x.jsonl line 2")
    assert second.startswith("x.jsonl line 3, prompt")
    pytest.raises(UserError, read_questions, str(source)).match(told)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("\n")
    with pytest.raises(UserError, match="nothing to predict"):
        read_questions(str(tmp_path / "x.jsonl"))
