"""Paths of runs that were moved."""

from __future__ import annotations

from pathlib import Path

from kfp_llm_tuning.pipelines.local_runs.relocation import Relocation


def test_a_run_where_it_was_made_has_its_paths_as_they_are(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    assert Relocation.of_run(run, run).as_now([f"{run}/x"]) == [f"{run}/x"]


def test_a_renamed_run_takes_its_own_paths_along(tmp_path: Path) -> None:
    made, now = tmp_path / "runs" / "a", tmp_path / "runs" / "b"
    relocation = Relocation.of_run(made, now)
    value = {"path": f"{made}/tasks/x", "other": f"{made}-2/x", "list": [f"file://{made}", 3, None]}
    moved = {"path": f"{now}/tasks/x", "other": f"{made}-2/x", "list": [f"file://{now}", 3, None]}
    assert relocation.as_now(value) == moved
    assert relocation.as_made(moved) == value


def test_a_moved_output_folder_takes_registry_and_data_along(tmp_path: Path) -> None:
    made, now = tmp_path / "old" / "a", tmp_path / "new" / "renamed"
    relocation = Relocation.of_run(made, now)
    value = [f"sqlite:///{tmp_path}/old/mlflow.db", f"{tmp_path}/old/a/x", f"/data{tmp_path}/old/x"]
    moved = [f"sqlite:///{tmp_path}/new/mlflow.db", f"{now}/x", f"/data{tmp_path}/old/x"]
    assert relocation.as_now(value) == moved
    assert relocation.as_made(moved) == value


def test_a_run_taken_out_of_its_output_folder_leaves_the_rest_there(tmp_path: Path) -> None:
    made, now = tmp_path / "old" / "a", tmp_path / "new" / "a"
    made.parent.mkdir()
    relocation = Relocation.of_run(made, now)
    assert relocation.as_now(f"{tmp_path}/old/train.jsonl") == f"{tmp_path}/old/train.jsonl"
    assert relocation.as_now(f"{made}/checkpoints") == f"{now}/checkpoints"
