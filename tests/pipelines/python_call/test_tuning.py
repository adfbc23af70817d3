"""``tune``: what it refuses, all at once, and what a run that does not succeed raises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.host_memory import HostMemory
from kfp_llm_tuning.pipelines import tune
from kfp_llm_tuning.pipelines.local_runs import machine_here, run_record, tuning_run
from kfp_llm_tuning.pipelines.local_runs.local_run import LocalRun
from kfp_llm_tuning.pipelines.local_runs.local_runner import TaskResult
from kfp_llm_tuning.pipelines.local_runs.tuning_run import TuningRun

ROWS = [{"input_text": f"question {number}", "output_text": "yes"} for number in range(12)]


def ends_with(monkeypatch: pytest.MonkeyPatch, exit_code: int, *problems: Problem) -> list[Path]:
    """Puts a run that fails in the place of one that takes minutes; gives the folders it gets."""
    folders: list[Path] = []

    def go_on(directory: Path, *_: object) -> TuningRun:
        folders.append(directory)
        task = TaskResult("validate-dataset", Path("a.log"), "failed", problems=problems)
        return TuningRun(LocalRun("", 1.0, [task], {}, exit_code), None)

    monkeypatch.setattr(tuning_run, "go_on", go_on)
    return folders


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'mlflow', 'pandas', 'kfp', 'pyarrow'}"
    code = (
        f"import sys; from kfp_llm_tuning.pipelines import tune; print({heavy} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        tune(
            [*ROWS, "no row"],
            "byte-tiny",
            evaluation=tmp_path / "none.jsonl",
            output_dir=tmp_path / "runs",
            template="tune-small-model",
            train_step=5,
            lora_rnk=8,
            learning_rate="fast",
        )
    told = str(raised.value)
    for part in ("row 12", "none.jsonl", "tune-small-model", "fast"):
        assert part in told
    assert "Did you mean train_steps?" in told
    assert "Did you mean lora_rank?" in told
    assert list((tmp_path / "runs").iterdir()) == [], "a refused call leaves no folder"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "nothing to tune"),
        ({"data": "a.jsonl", "dataset_uri": "b.jsonl"}, "stands twice: as data and as dataset_uri"),
        ({"resume": "latest", "train_steps": 5}, "a resumed run keeps its parameters"),
        ({"resume": "none"}, "no run 'none'"),
    ],
)
def test_what_says_nothing_or_two_things_is_refused(
    arguments: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        tune(output_dir=tmp_path, **arguments)


def test_rows_are_kept_in_the_folder_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = ends_with(monkeypatch, 75)
    with pytest.raises(KeyboardInterrupt, match=r"Go on with tune\(resume='train-tuned-"):
        tune(ROWS, "byte-tiny", output_dir=tmp_path, batch_size=2, labels={"team": "a"})
    (directory,) = folders
    record = run_record.read(directory)
    assert Path(record.parameters["dataset_uri"]) == directory / "data" / "train.jsonl"
    assert len((directory / "data" / "train.jsonl").read_text("utf-8").splitlines()) == len(ROWS)
    assert record.parameters["tuner_arguments"] == {"batch_size": 2}
    assert record.labels == {"team": "a"}
    with pytest.raises(KeyboardInterrupt):
        tune(resume=directory.name, output_dir=tmp_path)
    assert folders == [directory, directory]


def test_a_large_model_is_downloaded_where_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = ends_with(monkeypatch, 75)
    monkeypatch.setattr(machine_here, "host_memory", lambda: HostMemory(10**12, 10**12))
    monkeypatch.setattr(machine_here, "has_weights_here", lambda _: False)
    with pytest.raises(UserError, match=r"is 15 GB to download.*yes=True"):
        tune(ROWS, "text-bison@001", output_dir=tmp_path, batch_size=2)
    assert not folders and not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        tune(ROWS, "text-bison@001", output_dir=tmp_path, batch_size=2, yes=True)
    assert folders


@pytest.mark.parametrize(
    ("exit_code", "problems", "kind", "told"),
    [
        (1, (Problem("is wrong.", "train.jsonl, line 3"),), UserError, "line 3: is wrong"),
        (1, (), UserError, "validate-dataset failed: its log is a.log"),
        (13, (), RuntimeError, "Please report it"),
    ],
)
def test_a_run_that_fails_raises_why(
    exit_code: int,
    problems: tuple[Problem, ...],
    kind: type[Exception],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends_with(monkeypatch, exit_code, *problems)
    with pytest.raises(kind, match=told):
        tune(ROWS, "byte-tiny", output_dir=tmp_path)
