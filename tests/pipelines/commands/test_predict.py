"""``predict`` with a model of a folder and one of a registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.generation.tuned_model import TunedModel
from kfp_llm_tuning.components.models import byte_tiny
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.upload.mlflow_registry import Upload, deploy, register
from kfp_llm_tuning.pipelines.commands.predict import predict


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """byte-tiny as a tuned model's folder."""
    folder = tmp_path_factory.mktemp("predict") / "model"
    byte_tiny.build(folder)
    provenance = {"prompt_format": "plain", "max_input_tokens": 32, "max_output_tokens": 4}
    (folder / "tuning.json").write_text(json.dumps(provenance))
    return folder


@pytest.fixture(scope="module")
def registry_uri(model: Path) -> str:
    """A registry with that model, deployed as `intents`."""
    uri = f"sqlite:///{model.parent}/mlflow.db"
    name = register(
        Upload(
            saved_model=model,
            tensorboard_metrics=model.parent,
            evaluation=model.parent,
            display_name="intents",
            reference=resolve("byte-tiny"),
            run_id="run-1",
            registry_uri=uri,
        )
    )
    deploy(name, uri)
    return uri


def call(*arguments: str, answer: bytes = b"") -> Result:
    result = CliRunner().invoke(predict, arguments, input=answer)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answers(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    "name", ["intents", "intents@1", "models/intents@1", "models:/intents/1", "intents@deployed"]
)
def test_every_way_to_name_the_model(model: Path, registry_uri: str, name: str) -> None:
    (expected,) = answers(call(str(model), "hello", "--json"))
    (answer,) = answers(call(name, "hello", "--json", "--registry-uri", registry_uri))
    assert answer == expected
    assert set(answer) == {"content", "finished", "input_truncated"}


def test_text_alone_is_the_answer_alone(model: Path) -> None:
    (expected,) = answers(call(str(model), "hello", "--json"))
    assert call(str(model), "hello").stdout == f"{expected['content']}\n"


def test_rows_of_a_file(model: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"input_text": "hello", "output_text": "ignored"},
        {"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]},
        {"messages": [{"author": "user", "content": "hi"}], "context": "be kind"},
        {"prompt": "x" * 100},
    ]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    result = call(str(model), "--input", str(source), "--output", str(target))
    assert result.stdout == ""
    written = [json.loads(line) for line in target.read_text().splitlines()]
    assert [answer["input_truncated"] for answer in written] == [False] * 3 + [True]
    assert [written[0]] == answers(call(str(model), "hello", "--json"))
    chat = answers(call(str(model), "hi", "--context", "be kind", "--json"))
    assert [written[1]] == [written[2]] == chat


def test_rows_that_a_model_cannot_be_asked_are_all_told(model: Path, tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    row = {"messages": [{"role": "user", "content": "hi"}], "tools": [tool]}
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(map(json.dumps, [row, {"prompt": "a"}, row])))
    with pytest.raises(UserError) as caught:
        call(str(model), "--input", str(source))
    told = [(problem.where, problem.what) for problem in caught.value.problems]
    assert [where for where, _ in told] == ["in.jsonl line 1", "in.jsonl line 3"]
    assert all("no tool definitions" in what for _, what in told)


def test_rows_of_stdin(model: Path) -> None:
    result = call(str(model), "--input", "-", answer=b'{"prompt": "hello"}\n')
    assert answers(result) == answers(call(str(model), "hello", "--json"))


def test_what_was_cut_is_told(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    call(str(model), "x" * 100, "--max-output-tokens", "1")
    assert "1 of 1 inputs were too long" in caplog.text
    assert "1 of 1 answers reached the limit" in caplog.text


def test_nothing_to_ask_or_two_things(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"prompt": "a"}')
    with pytest.raises(UserError, match="TEXT or --input"):
        call(str(model))
    with pytest.raises(UserError, match="TEXT or --input"):
        call(str(model), "a", "--input", str(source))
    with pytest.raises(UserError, match="their own context"):
        call(str(model), "--context", "c", "--input", str(source))


def test_bad_rows_leave_no_output(model: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"prompt": "a"}\n{\n')
    with pytest.raises(UserError, match="line 2"):
        call(str(model), "--input", str(source), "--output", str(target))
    assert not target.exists()


@pytest.mark.parametrize("name", ["afile/out.jsonl", "a" * 300])
def test_an_output_that_cannot_be_is_told_before_answering(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(TunedModel, "answer", None)
    (tmp_path / "afile").touch()
    with pytest.raises(UserError, match="--output: cannot write"):
        call(str(model), "hello", "--output", str(tmp_path / name))


def test_an_output_is_whole_or_as_it_was(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("before")
    with monkeypatch.context() as patch, pytest.raises(TypeError):
        patch.setattr(TunedModel, "answer", None)
        call(str(model), "hello", "--output", str(target))
    assert (target.read_text(), list(tmp_path.iterdir())) == ("before", [target])
    call(str(model), "hello", "--output", str(target))
    assert target.read_text() == call(str(model), "hello").stdout


def test_unknown_model(registry_uri: str) -> None:
    with pytest.raises(UserError, match="Did you mean intents"):
        call("intent", "hello", "--registry-uri", registry_uri)


def test_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json is missing"):
        call(str(tmp_path), "hello")
