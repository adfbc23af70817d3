from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kfp_llm_tuning.components.tuning import tune as tune_module
from kfp_llm_tuning.components.tuning.__main__ import main
from kfp_llm_tuning.components.tuning.arguments import TuningArguments


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Records the tuner's calls instead of tuning."""
    made: list[Any] = []
    monkeypatch.setattr(tune_module, "tune", lambda *arguments: made.append(arguments))
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
    ((arguments, paths),) = calls
    assert arguments == TuningArguments(
        "byte-tiny", batch_size=2, train_steps=9, enable_early_stopping=True
    )
    assert paths.train_dataset == Path("data")
    assert paths.evaluation_dataset is None
    assert paths.metrics == Path("out/model-metrics")
    assert paths.checkpoints == Path("out/model-checkpoints")


def test_options_alone_do(calls: list[Any]) -> None:
    assert invoke("--model-reference", "byte-tiny", "--checkpoints", "kept").exit_code == 0
    ((arguments, paths),) = calls
    assert arguments == TuningArguments("byte-tiny")
    assert paths.checkpoints == Path("kept")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "model_reference is missing"),
        (["--payload", "no-such-file"], "cannot read no-such-file"),
        (["--payload", "{"], "not JSON"),
        (["--payload", '{"model_reference": "m", "steps": 3}'], "unknown argument 'steps'"),
        (["--model-reference", "m", "--train-steps", "0"], "train_steps: 0 is out of range"),
    ],
)
def test_mistakes_end_with_1_and_no_traceback(options: list[str], message: str) -> None:
    result = invoke(*options)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
