"""``runs``: how each run stands, what came of it, and deleting it; on folders made by hand."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.pipelines.commands.runs import runs
from kfp_llm_tuning.pipelines.local_runs import run_directory, run_record
from kfp_llm_tuning.pipelines.local_runs.run_record import RunRecord, TaskRecord

PARAMETERS = {
    "project": "local",
    "model_display_name": "router",
    "large_model_reference": "byte-tiny",
    "dataset_uri": "/data/train.jsonl",
    "train_steps": 300,
    "learning_rate": 0.01,
    "tuner_arguments": {"lora_rank": 4},
}
METRIC = {"base": 0.25, "tuned": 0.75, "verdict": "better"}


def make(
    output: Path, state: str, *tasks: TaskRecord, days: float = 0, seconds: float = 61.0
) -> Path:
    directory = run_directory.create(output, "tune-large-model", PARAMETERS, {"team": "a"})
    started = datetime.now(UTC) - timedelta(days=days)
    record = dataclasses.replace(
        run_record.read(directory),
        state=state,
        started_at=started.isoformat(),
        seconds=seconds,
        tasks=tasks,
    )
    run_record.write(directory, record)
    return directory


def make_done(output: Path, model: str, **options: Any) -> Path:
    """A run that is done, with the files that tell of it."""
    directory = make(output, "succeeded", **options)
    for name, content in {
        "evaluation/evaluation.json": {
            "examples": 12,
            "metrics": {"exact_match": METRIC},
            "gate": {"reason": "Gate not passed."},
            "failures": [],
            "alarms": [{"message": "The model gives one answer for all."}],
        },
        "saved_model/tuning.json": {},
    }.items():
        path = directory / "tasks" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    made = {name: str(directory / "tasks" / name) for name in ("evaluation", "saved_model")}
    outputs: dict[str, dict[str, str]] = {
        "evaluate-model": {"evaluation": made["evaluation"]},
        "large-language-model-tuner": {
            "saved_model": made["saved_model"],
            "tensorboard_metrics": str(directory),
        },
        "upload-llm-model": {"model_resource_name": model},
        "create-endpoint-and-deploy-model": {"endpoint_resource_name": ""},
    }
    tasks = tuple(TaskRecord(name, "succeeded", 2.0, values) for name, values in outputs.items())
    run_record.write(directory, dataclasses.replace(run_record.read(directory), tasks=tasks))
    return directory


def call(output: Path, *words: str, typed: str = "") -> str:
    done = CliRunner().invoke(
        runs, [*words, "--output-dir", str(output)], input=typed, catch_exceptions=False
    )
    return done.output


def states(output: Path) -> dict[str, str]:
    return {run["run"]: run["state"] for run in json.loads(call(output, "list", "--json"))}


def test_every_state_is_told_apart(tmp_path: Path) -> None:
    expected = {
        make(tmp_path, "failed").name: "failed",
        make(tmp_path, "interrupted").name: "interrupted",
        make(tmp_path, "running").name: "killed",
        make_done(tmp_path, "models/router@3").name: "registered",
        make_done(tmp_path, "").name: "refused by the gate",
        make(tmp_path, "succeeded").name: "done",
    }
    with run_directory.locked(at_work := make(tmp_path, "running")):
        assert states(tmp_path) == {**expected, at_work.name: "running"}


def test_a_list_says_what_was_tuned_and_what_came_of_it(tmp_path: Path) -> None:
    make(tmp_path, "failed", days=2)
    make_done(tmp_path, "models/router@3", days=1)
    first, second = call(tmp_path, "list").splitlines()[1:]
    for part in (
        "registered router@3",
        "byte-tiny",
        "train.jsonl",
        "exact_match 0.25 -> 0.75, 1 alarm",
    ):
        assert part in first
    assert "failed" in second


def test_a_broken_record_is_named_and_others_are_listed(tmp_path: Path) -> None:
    (make(tmp_path, "failed") / run_record.FILE).write_text("{", encoding="utf-8")
    kept = make(tmp_path, "interrupted")
    shown = call(tmp_path, "list")
    assert kept.name in shown
    assert "its record is damaged" in shown
    assert "It is left out." in shown


def test_the_last_begun_run_is_shown(tmp_path: Path) -> None:
    make(tmp_path, "interrupted", days=1)
    problem = Problem("is no JSON.", "train.jsonl, line 3")
    failed = TaskRecord("validate-dataset", "failed", 1.0, problems=(problem,))
    directory = make(tmp_path, "failed", TaskRecord("validate-pipeline", "succeeded"), failed)
    shown = call(tmp_path, "show")
    for part in (
        f"{directory.name}  failed",
        "learning_rate          0.01",
        "lora_rank              4",
        "label team  a",
        "! validate-dataset: train.jsonl, line 3: is no JSON.",
        str(directory / "logs" / "validate-dataset.log"),
        f"Go on with: kfp-llm-tuning run --resume {directory.name} --output-dir {tmp_path}",
    ):
        assert part in shown
    assert "train_steps" not in shown, "it has its default"


def test_a_done_run_that_was_moved_is_shown_with_what_to_type_next(tmp_path: Path) -> None:
    directory = make_done(tmp_path / "old", "models/router@3")
    moved = tmp_path / "new" / directory.name
    moved.parent.mkdir()
    directory.rename(moved)
    shown = call(tmp_path / "new", "show", directory.name)
    assert f"weights       {moved / 'tasks' / 'saved_model'}" in shown
    assert "✗ The model gives one answer for all." in shown
    assert "kfp-llm-tuning predict router" in shown


def test_a_deleted_run_leaves_its_model_registered(tmp_path: Path) -> None:
    directory = make_done(tmp_path, "models/router@3")
    kept = make(tmp_path, "failed")
    asked = call(tmp_path, "delete", directory.name, typed="n\n")
    assert directory.is_dir()
    assert "router@3" in asked
    assert "Delete 1 run" in asked
    shown = call(tmp_path, "delete", directory.name, directory.name, "--yes")
    assert not directory.exists()
    assert kept.is_dir()
    assert "Deleted 1 run." in shown
    assert "Registered models stay" in shown


def test_only_old_runs_are_deleted_and_none_at_work(tmp_path: Path) -> None:
    old, young = make(tmp_path, "failed", days=8), make(tmp_path, "failed", days=6)
    with run_directory.locked(at_work := make(tmp_path, "running", days=8)):
        call(tmp_path, "delete", "--older-than", "1w", "--yes")
        assert [old.exists(), young.exists(), at_work.exists()] == [False, True, True]
        with pytest.raises(UserError, match="is running"):
            call(tmp_path, "delete", at_work.name, "--yes")
    assert call(tmp_path, "delete", "--older-than", "52w", "--yes") == "No run is that old.\n"


def test_what_is_there_is_said_where_a_run_is_not(tmp_path: Path) -> None:
    directory = make(tmp_path, "failed")
    with pytest.raises(UserError, match=f"no run 'none' in .*Allowed: {directory.name}"):
        call(tmp_path, "show", "none")
    with pytest.raises(UserError, match="no runs in"):
        call(tmp_path / "empty", "show")
    with pytest.raises(UserError, match="nothing to delete"):
        call(tmp_path, "delete")
    assert "is no age such as" in call(tmp_path, "delete", "--older-than", "soon")
    assert call(tmp_path / "empty", "list") == f"No runs in {tmp_path / 'empty'}.\n"


def test_runs_of_other_pipelines_are_listed(tmp_path: Path) -> None:
    run_directory.create(tmp_path, "my-pipeline", {"text": "a"})
    (run,) = json.loads(call(tmp_path, "list", "--json"))
    assert (run["template"], run["model"], run["state"]) == ("my-pipeline", "", "killed")


def test_records_of_older_versions_are_listed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    run_record.write(tmp_path / "old", RunRecord("tune-large-model", {}, state="succeeded"))
    assert states(tmp_path) == {"old": "done"}
