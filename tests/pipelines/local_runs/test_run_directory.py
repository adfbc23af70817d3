"""The folders of runs: making one, finding the one to resume, holding it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.local_runs import run_directory, run_record

PARAMETERS = {"model_display_name": "My Model!", "train_steps": 5}
TEMPLATE = "tune-large-model"


def make(output: Path, state: str = "failed", started_at: str = "", template: str = "") -> Path:
    directory = run_directory.create(output, template or TEMPLATE, PARAMETERS)
    record = run_record.read(directory)
    changed = dataclasses.replace(record, state=state, started_at=started_at or record.started_at)
    run_record.write(directory, changed)
    return directory


def test_a_new_run_is_named_after_its_model(tmp_path: Path) -> None:
    directory = run_directory.create(tmp_path, TEMPLATE, PARAMETERS)
    assert directory.name.startswith("my-model-2")
    record = run_record.read(directory)
    assert (record.template, record.state) == (TEMPLATE, "running")
    assert record.parameters == PARAMETERS
    assert record.directory == str(directory)


def test_runs_of_one_second_do_not_share_a_folder(tmp_path: Path) -> None:
    made = {run_directory.create(tmp_path, TEMPLATE, PARAMETERS) for _ in range(4)}
    assert len(made) == 4


def test_a_record_that_cannot_be_written_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_record, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        run_directory.create(tmp_path, TEMPLATE, PARAMETERS)
    assert list(tmp_path.iterdir()) == []


def test_latest_unfinished_run_is_found(tmp_path: Path) -> None:
    states = ["failed", "running", "succeeded"]
    runs = [make(tmp_path, state, f"2026-01-0{day}") for day, state in enumerate(states, start=1)]
    assert run_directory.find(tmp_path, run_directory.LATEST, [TEMPLATE]).directory == runs[1]
    assert run_directory.find(tmp_path, runs[0].name, [TEMPLATE]).directory == runs[0]
    assert run_directory.find(tmp_path, str(runs[2]), [TEMPLATE]).directory == runs[2]


@pytest.mark.parametrize("content", ["", "[]", '{"template": "t", "parameters": {}, "newer": 1}'])
def test_a_run_whose_record_cannot_be_read_does_not_block_the_others(
    tmp_path: Path, content: str
) -> None:
    good = make(tmp_path, started_at="2026-01-01")
    broken = make(tmp_path, started_at="2026-01-02")
    (broken / run_record.FILE).write_text(content, encoding="utf-8")
    found = run_directory.find(tmp_path, run_directory.LATEST, [TEMPLATE])
    assert found.directory == good
    (reason,) = found.passed_over
    assert broken.name in reason
    assert "passed over" in reason
    with pytest.raises(UserError, match="no run that can be resumed"):
        run_directory.find(tmp_path, broken.name, [TEMPLATE])


def test_runs_of_another_program_are_left_to_it(tmp_path: Path) -> None:
    own = make(tmp_path, template="my-pipeline")
    with pytest.raises(UserError, match="no unfinished run"):
        run_directory.find(tmp_path, run_directory.LATEST, [TEMPLATE])
    with pytest.raises(UserError, match="a run of the pipeline 'my-pipeline'"):
        run_directory.find(tmp_path, own.name, [TEMPLATE])


def test_nothing_to_resume_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no unfinished run"):
        run_directory.find(tmp_path, run_directory.LATEST, [TEMPLATE])
    for name in ("other", "n" * 5000, "nul\0"):
        with pytest.raises(UserError, match="no run .*none yet"):
            run_directory.find(tmp_path, name, [TEMPLATE])


def test_a_run_at_work_is_locked(tmp_path: Path) -> None:
    with (
        run_directory.locked(tmp_path),
        pytest.raises(UserError, match="still at work in another command"),
        run_directory.locked(tmp_path),
    ):
        pass
    with run_directory.locked(tmp_path):
        pass
