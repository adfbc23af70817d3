from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner, Result

from kfp_llm_tuning.components.tuning import session
from kfp_llm_tuning.components.tuning.__main__ import main
from kfp_llm_tuning.components.tuning.arguments import TuningArguments


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Records what would be tuned instead of tuning."""
    made: list[Any] = []
    monkeypatch.setattr(session, "run", lambda *arguments: made.append(arguments))
    return made


def invoke(*options: str) -> Result:
    return CliRunner().invoke(main, ["--train-dataset", "data", "--output", "out/model", *options])


def test_help_documents_every_argument_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, runpy\n"
        "sys.argv = ['tuning', '--help']\n"
        "try: runpy.run_module('kfp_llm_tuning.components.tuning', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'kfp', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    for field in dataclasses.fields(TuningArguments):
        assert f"--{field.name.replace('_', '-')} " in completed.stdout
    assert "75 interrupted" in completed.stdout
    assert "[default: 300]" in " ".join(completed.stdout.split())


def test_options_win_over_the_payload_file(calls: list[Any], tmp_path: Path) -> None:
    payload = tmp_path / "payload.json"
    payload.write_text('{"model_reference": "byte-tiny", "batch_size": 4, "train_steps": 9}')
    result = invoke(
        *("--payload", str(payload), "--batch-size", "2", "--enable-early-stopping", "true")
    )
    assert result.exit_code == 0, result.output
    ((arguments, places, processes, engine),) = calls
    assert engine == ""
    assert arguments == TuningArguments(
        "byte-tiny", batch_size=2, train_steps=9, enable_early_stopping=True
    )
    assert places.train_dataset == "data"
    assert places.evaluation_dataset == ""
    assert places.metrics == "out/model-metrics"
    assert places.checkpoints == "out/model-checkpoints"
    assert processes == 0


def test_every_place_may_be_a_uri(calls: list[Any]) -> None:
    with fsspec.open("memory://payload.json", "w") as stream:
        stream.write('{"model_reference": "byte-tiny"}')
    uris = ["--train-dataset", "gs://b/train", "--output", "gs://b/model/", "--processes", "2"]
    result = invoke("--payload", "memory://payload.json", *uris)
    assert result.exit_code == 0, result.output
    ((arguments, places, processes, _),) = calls
    assert arguments == TuningArguments("byte-tiny")
    assert places.train_dataset == "gs://b/train"
    assert places.metrics == "gs://b/model-metrics"
    assert places.checkpoints == "gs://b/model-checkpoints"
    assert processes == 2


def test_options_alone_do(calls: list[Any]) -> None:
    assert invoke("--model-reference", "byte-tiny", "--checkpoints", "kept").exit_code == 0
    ((arguments, places, *_),) = calls
    assert arguments == TuningArguments("byte-tiny")
    assert places.checkpoints == "kept"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "model_reference is missing"),
        (["--payload", "no-such-file"], "--payload: no file at no-such-file"),
        (["--payload", "{"], "not JSON"),
        (["--payload", '{"model_reference": "m", "steps": 3}'], "payload: steps: unknown argument"),
        (["--model-reference", "m", "--train-steps", "0"], "train_steps: 0 is out of range"),
    ],
)
def test_mistakes_end_with_1_and_no_traceback(options: list[str], message: str) -> None:
    result = invoke(*options)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
