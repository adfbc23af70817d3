"""Finished tasks are believed only where their record and their files are as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from kfp_llm_tuning.components.common.manifest import write_manifest
from kfp_llm_tuning.pipelines.local_runs.relocation import Relocation
from kfp_llm_tuning.pipelines.local_runs.task_cache import TaskCache


class Run:
    """The folder of a run with one finished task, and what its cache warns of."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.warnings: list[str] = []
        folder = directory / "tasks" / "model"
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(1000))
        (directory / "tasks" / "report").write_text("report", encoding="utf-8")
        self.cache().put(self.key(), self.outputs())

    def outputs(self) -> dict[str, Any]:
        tasks = self.directory / "tasks"
        return {
            "count": 3,
            "model": dsl.Model(name="model", uri=str(tasks / "model"), metadata={"a": "b"}),
            "report": dsl.HTML(name="report", uri=str(tasks / "report")),
            "metrics": dsl.Metrics(name="metrics", uri=str(tasks / "none"), metadata={"x": 1.0}),
            "parts": [dsl.Dataset(name="part", uri=str(tasks / "report"))],
            "remote": dsl.Dataset(name="remote", uri="gs://bucket/folder"),
        }

    def cache(self, relocation: Relocation | None = None) -> TaskCache:
        return TaskCache(self.directory / "cache", relocation or Relocation(), self.warnings.append)

    def key(self, relocation: Relocation | None = None, tracking_uri: str = "sqlite:///a") -> str:
        arguments = {
            "tracking_uri": tracking_uri,
            "checkpoints": f"{self.directory}/checkpoints",
            "records": dsl.Dataset(name="records", uri=f"{self.directory}/tasks/records"),
        }
        return self.cache(relocation).compute_key(
            component_name="comp-tuner", image="i", full_command=["c"], arguments=arguments
        )

    def entry(self) -> Path:
        (path,) = (self.directory / "cache").iterdir()
        return path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "runs" / "a")


def test_a_finished_task_gives_its_outputs_again(run: Run) -> None:
    outputs = run.cache().get(run.key())
    assert outputs is not None
    assert outputs["count"] == 3
    assert isinstance(outputs["model"], dsl.Model)
    assert outputs["model"].metadata == {"a": "b"}
    assert outputs["metrics"].metadata == {"x": 1.0}
    assert [part.name for part in outputs["parts"]] == ["part"]
    assert not run.warnings
    assert run.cache().get("0" * 64) is None
    assert not run.warnings


def test_a_run_that_was_renamed_finds_its_tasks_done(run: Run) -> None:
    made = run.directory
    run.directory = made.rename(made.with_name("b"))
    relocation = Relocation.of_run(made, run.directory)
    outputs = run.cache(relocation).get(run.key(relocation))
    assert outputs is not None
    assert outputs["model"].uri == str(run.directory / "tasks" / "model")


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("model/weights", lambda path: path.write_bytes(bytes(500)), "model is damaged: weights"),
        ("model/weights", lambda path: path.write_bytes(b"1" * 1000), "weights is corrupt"),
        ("model/weights", Path.unlink, "weights is missing"),
        ("report", lambda path: path.write_text("rep", encoding="utf-8"), "report is damaged"),
        ("report", Path.unlink, "report"),
    ],
)
def test_a_task_whose_output_is_damaged_is_done_again(
    run: Run, file: str, change: Any, told: str
) -> None:
    change(run.directory / "tasks" / file)
    assert run.cache().get(run.key()) is None
    (warning,) = run.warnings
    assert told in warning
    assert "done again" in warning


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"{}", b'{"outputs": {}, "files": {}}', b"\xff", b"[" * 100_000],
)
def test_a_task_whose_record_is_garbage_is_done_again(run: Run, content: bytes) -> None:
    run.entry().write_bytes(content)
    assert run.cache().get(run.key()) is None
    (warning,) = run.warnings
    assert "its record cannot be used" in warning
    run.cache().put(run.key(), run.outputs())
    assert run.cache().get(run.key()) is not None


def test_a_changed_record_is_no_record(run: Run) -> None:
    entry = json.loads(run.entry().read_text(encoding="utf-8"))
    entry["outputs"]["count"] = 4
    run.entry().write_text(json.dumps(entry), encoding="utf-8")
    assert run.cache().get(run.key()) is None


def test_further_files_are_no_damage(run: Run) -> None:
    (run.directory / "tasks" / "model" / "cache-1.arrow").touch()
    assert run.cache().get(run.key()) is not None


def test_a_model_cut_off_after_its_writer_hashed_it_is_never_recorded_as_whole(run: Run) -> None:
    model = run.directory / "tasks" / "model"
    write_manifest(model)
    (model / "weights").write_bytes(bytes(10))
    run.cache().put(run.key(), run.outputs())
    assert run.cache().get(run.key()) is None


def test_a_task_that_cannot_be_recorded_is_told_of(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kfp_llm_tuning.pipelines.local_runs.task_cache.write_atomically", full)
    run.cache().put(run.key(), run.outputs())
    (warning,) = run.warnings
    assert "No space left on device" in warning


def test_where_a_run_is_looked_at_makes_no_other_task_of_it(run: Run) -> None:
    assert run.key(tracking_uri="http://elsewhere") == run.key()
