"""The record of a run, and finding the run to resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines import run_directory

PARAMETERS = {"model_display_name": "My Model!", "train_steps": 5}


def test_a_new_run_is_named_after_its_model(tmp_path: Path) -> None:
    directory = run_directory.create(tmp_path, "tune-large-model", PARAMETERS)
    assert directory.name.startswith("my-model-2")
    record = run_directory.read(directory)
    assert (record.template, record.state) == ("tune-large-model", "running")
    assert record.parameters == PARAMETERS


def test_runs_of_one_second_do_not_share_a_folder(tmp_path: Path) -> None:
    made = {run_directory.create(tmp_path, "tune-large-model", PARAMETERS) for _ in range(4)}
    assert len(made) == 4


def test_latest_unfinished_run_is_found(tmp_path: Path) -> None:
    started = []
    for number, state in enumerate(["failed", "running", "succeeded"]):
        directory = run_directory.create(tmp_path, "tune-large-model", PARAMETERS)
        record = dataclasses.replace(
            run_directory.read(directory), state=state, started_at=f"2026-01-0{number + 1}"
        )
        run_directory.write(directory, record)
        started.append(directory)
    assert run_directory.find(tmp_path, run_directory.LATEST) == started[1]
    assert run_directory.find(tmp_path, started[0].name) == started[0]
    assert run_directory.find(tmp_path, str(started[2])) == started[2]


def test_nothing_to_resume_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no unfinished run"):
        run_directory.find(tmp_path, run_directory.LATEST)
    with pytest.raises(UserError, match="no run 'other'.*none yet"):
        run_directory.find(tmp_path, "other")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"template": 1}', '{"x": 1}'])
def test_broken_records_are_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="is no run that can be resumed"):
        run_directory.read(tmp_path)


def test_a_run_at_work_is_locked(tmp_path: Path) -> None:
    with (
        run_directory.locked(tmp_path),
        pytest.raises(UserError, match="still at work"),
        run_directory.locked(tmp_path),
    ):
        pass
    with run_directory.locked(tmp_path):
        pass
