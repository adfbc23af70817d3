"""The command convert, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.commands.convert import convert


def test_a_table_becomes_openai_chat(tmp_path: Path) -> None:
    table = tmp_path / "train.csv"
    table.write_text("prompt,completion,id\nHi,Hello.,1\nBye,See you.,2\n")
    target = tmp_path / "out" / "train.jsonl"
    done = CliRunner().invoke(convert, [str(table), str(target), "--to", "openai"])
    assert done.exit_code == 0, done.output
    first, second = map(json.loads, target.read_text().splitlines())
    assert [message["role"] for message in first["messages"]] == ["user", "assistant"]
    assert second["messages"][1]["content"] == "See you."
    assert "the field 'id' is not read; it stands in 2 rows" in done.stderr
    assert "train.csv: read as prompt/completion, 2 rows. Written to" in done.stderr


def test_rows_stand_alone_on_standard_output(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"input_text": "a", "output_text": "b"}\n')
    done = CliRunner().invoke(convert, [str(source), "-", "--to", "alpaca"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["output"] == "b"


def test_a_refused_conversion_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text('{"input_text": "a"}\n')
    target.write_text("before")
    done = CliRunner().invoke(convert, [str(source), str(target), "--to", "openai"])
    assert isinstance(done.exception, UserError)
    assert target.read_text() == "before"
