"""The command ``validate``: output, exit codes, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.validation import base_model
from kfp_llm_tuning.components.validation import dataset as dataset_module
from kfp_llm_tuning.components.validation.base_model import ExaminedModel
from kfp_llm_tuning.pipelines.commands.validate import validate


@pytest.fixture(autouse=True)
def no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the command from looking at the model."""
    monkeypatch.setattr(base_model, "find_spec", lambda name: None)


@pytest.fixture
def good(tmp_path: Path) -> str:
    file = tmp_path / "good.jsonl"
    rows = ({"input_text": f"{n * 7919}", "output_text": f"{n * n}"} for n in range(200))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"input_text": "[red]a[/red]", "output_text": 1}\n' * 12, encoding="utf-8")
    return str(file)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(validate, arguments)


def test_good_dataset(good: str) -> None:
    result = run(good, "--train-steps", "50", "--model", "byte-tiny")
    assert result.exit_code == 0, result.output
    assert "? The rows can be tuned on, but byte-tiny was not checked: 1 warning." in result.output
    assert "Ready" not in result.output
    assert "· good.jsonl: 50 steps of 8 examples, 400 in all: 2 epochs." in result.output
    assert (
        "! large_model_reference: the model could not be checked, nor truncation: torch is not "
        "installed. Install it: pip install 'kfp-llm-tuning[tuning]'." in result.output
    )


def test_a_model_that_was_looked_at(good: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "examine", lambda *_: ExaminedModel())
    result = run(good, "--train-steps", "50", "--model", "byte-tiny")
    assert result.output.endswith("✓ Ready to tune on byte-tiny: no warnings.\n")


def test_bad_dataset(bad: str) -> None:
    result = run(bad, "--model", "byte-tiny")
    assert result.exit_code == 1
    assert (
        "✗ bad.jsonl line 1 and 11 more lines, output_text: output_text is a number (1). "
        "Allowed: text." in result.output
    )
    assert result.output.endswith("✗ Not usable yet: 12 errors, 2 warnings.\n")


def test_strict(good: str) -> None:
    assert run(good, "--strict", "--train-steps", "50").exit_code == 1


def test_json(good: str, bad: str) -> None:
    result = run(good, "--json", "--evaluation", good)
    summary = json.loads(result.stdout)
    assert result.exit_code == 0 and summary["valid"]
    assert summary["warnings_by_kind"]["leakage"] == 200
    result = run(bad, "--json", "--model", "byte-tiny")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["errors_by_kind"] == {"wrong_type": 12}


@pytest.mark.parametrize("name", ["file/report.html", "a" * 300, "."])
def test_a_report_that_cannot_be_is_told_before_checking(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    result = run("no-such-dataset.jsonl", "--report", str(tmp_path / name))
    assert result.exit_code != 0
    assert "--report" in str(result.exception) + result.output


def test_report(good: str, tmp_path: Path) -> None:
    report = tmp_path / "new" / "report.html"
    result = run(good, "--report", str(report))
    assert result.exit_code == 0
    assert "The rows can be tuned on, but nothing is known of the model" in report.read_text(
        encoding="utf-8"
    )
    assert f"Report: {report}" in result.output.replace("\n", "")


def test_model_follows_the_rows(tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    turns = [{"author": "user", "content": "a"}, {"author": "assistant", "content": "b"}]
    file.write_text(json.dumps({"data": [{"messages": turns}] * 10}), encoding="utf-8")
    summary = json.loads(run(str(file), "--json").stdout)
    assert (summary["model_reference"], summary["row_format"]) == ("chat-bison@001", "chat")
    assert summary["training"]["good_examples"] == 10


def test_printing_limit(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    rows = "".join(f'{{"input_text": {n}, "output_text": "b"}}\n' for n in range(30))
    file.write_text(rows, encoding="utf-8")
    result = run(str(file), "--max-printed", "2")
    assert result.output.count("is a number") == 2
    assert "28 more not listed; all by kind: wrong_type 30." in result.output


def test_unknown_model_and_missing_file_are_user_errors(good: str, tmp_path: Path) -> None:
    assert isinstance(run(good, "--model", "text-bisson").exception, UserError)
    assert isinstance(run(str(tmp_path / "none.jsonl")).exception, UserError)


@pytest.fixture
def openai_chat(tmp_path: Path) -> str:
    file = tmp_path / "chat.jsonl"
    rows = (
        {
            "messages": [
                {"role": "user", "content": f"{number * 7919}?"},
                {"role": "assistant", "content": f"It is {number * number}."},
            ]
        }
        for number in range(100)
    )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def test_rows_in_other_formats_are_meant_for_an_open_model(openai_chat: str) -> None:
    result = run(openai_chat)
    assert result.exit_code == 0, result.output
    assert "· chat.jsonl: read as OpenAI chat, 100 conversations." in result.output
    assert "qwen2.5-7b-instruct was not checked" in result.output


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("input_text,output_text", "read as published text, 30 examples."),
        (
            "question,answer",
            "own.csv line 2 and 29 more lines: the row is in no known format: its fields are "
            '"question", "answer". The nearest is published text: {"input_text": "...", '
            '"output_text": "..."} (rename question to input_text, answer to output_text).',
        ),
        (
            "heard,felt",
            'its fields are "heard", "felt". Name what the model is given input_text, and what it '
            "is to write output_text; or write rows as openai, gemini, sharegpt, alpaca, ",
        ),
    ],
)
def test_a_table_of_ones_own(header: str, said: str, tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    rows = "".join(f"What is {number} plus one?,{number + 1}\n" for number in range(30))
    table.write_text(f"{header}\n{rows}", encoding="utf-8")
    output = run(str(table)).output
    assert said in output
    # The closed models' own files are JSONL alone: without a model named, none is meant.
    assert "JSONL" not in output


def test_a_format_may_be_given(openai_chat: str) -> None:
    assert run(openai_chat, "--model", "chat-bison@002").exit_code == 1
    given = run(openai_chat, "--model", "chat-bison@002", "--dataset-format", "openai")
    assert given.exit_code == 0, given.output
    wrong = run(openai_chat, "--dataset-format", "gemini")
    assert "the row is OpenAI chat where dataset_format says Gemini contents." in wrong.output
