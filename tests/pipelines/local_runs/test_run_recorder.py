"""The record of a run says at any moment how far it has come."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.pipelines.local_runs import run_record
from kfp_llm_tuning.pipelines.local_runs.local_runner import TaskResult
from kfp_llm_tuning.pipelines.local_runs.relocation import Relocation
from kfp_llm_tuning.pipelines.local_runs.run_record import RunRecord, TaskRecord
from kfp_llm_tuning.pipelines.local_runs.run_recorder import RunRecorder


def test_a_record_follows_the_run(tmp_path: Path) -> None:
    observer = Mock()
    recorder = RunRecorder(tmp_path, RunRecord("t", {}, state="failed"), observer, Relocation())
    assert run_record.read(tmp_path).state == "running"
    first = TaskResult("first", tmp_path / "log", "succeeded", 1.0, outputs={"count": 3})
    recorder.started(first)
    recorder.printed(first, "hello")
    recorder.finished(first)
    assert run_record.read(tmp_path).tasks == (TaskRecord("first", "succeeded", 1.0, {"count": 3}),)
    recorder.interrupted(again=False)
    problem = Problem("is wrong.", "train_steps")
    second = TaskResult("second", tmp_path / "log", "failed", problems=(problem,))
    seconds = recorder.end("failed", [first, second])
    record = run_record.read(tmp_path)
    assert (record.state, record.seconds) == ("failed", round(seconds, 2))
    assert record.tasks[1] == TaskRecord("second", "failed", problems=(problem,))
    told = [call[0] for call in observer.method_calls]
    assert told == ["started", "printed", "finished", "interrupted"]


def test_paths_are_recorded_as_they_were_when_the_run_was_made(tmp_path: Path) -> None:
    relocation = Relocation({"/made/run": "/now/run"})
    recorder = RunRecorder(tmp_path, RunRecord("t", {}), Mock(), relocation)
    task = TaskResult("a", tmp_path, "succeeded", outputs={"written": "/now/run/tasks/a"})
    recorder.end("succeeded", [task])
    (recorded,) = run_record.read(tmp_path).tasks
    assert recorded.outputs == {"written": "/made/run/tasks/a"}
