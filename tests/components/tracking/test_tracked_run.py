"""The MLflow run of a pipeline run, found again by everyone, against a real MLflow on SQLite."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow import MlflowClient

from kfp_llm_tuning.components.tracking.connection import connect, experiment_id
from kfp_llm_tuning.components.tracking.curves import CurvePoint
from kfp_llm_tuning.components.tracking.tracked_run import (
    FAILED,
    FINISHED,
    PROBLEM_TAG,
    Curves,
    open_run,
)


@pytest.fixture
def client(registry_uri: str) -> MlflowClient:
    return connect(registry_uri)


def runs_of(client: MlflowClient) -> list[Any]:
    return list(client.search_runs([experiment_id(client)]))


def test_every_task_of_a_pipeline_run_joins_its_run(
    registry_uri: str, client: MlflowClient
) -> None:
    first, second = (open_run(registry_uri, "run-1", "intents") for _ in range(2))
    other = open_run(registry_uri, "run-2", "intents")
    assert first.id == second.id != other.id
    assert {run.info.status for run in runs_of(client)} == {"RUNNING"}


def test_a_failed_run_is_seen_as_one_until_it_is_resumed(
    registry_uri: str, client: MlflowClient
) -> None:
    run = open_run(registry_uri, "run-1", "intents")
    run.end(FAILED, "validate-dataset failed\nhttps://name:secret@host/data: line 3")
    (failed,) = runs_of(client)
    assert failed.info.status == "FAILED"
    assert failed.data.tags[PROBLEM_TAG].startswith("validate-dataset failed\n")
    assert "secret" not in failed.data.tags[PROBLEM_TAG]
    open_run(registry_uri, "run-1", "intents")
    (resumed,) = runs_of(client)
    assert resumed.info.status == "RUNNING"
    assert PROBLEM_TAG not in resumed.data.tags


def test_parameters_keep_their_first_value_and_hold_no_password(
    registry_uri: str, client: MlflowClient
) -> None:
    run = open_run(registry_uri, "run-1", "intents")
    run.log_parameters({"train_steps": 3, "empty": "", "none": None, "more": {"rank": 8}})
    run.log_parameters({"train_steps": 4, "dataset_uri": "https://name:secret@host/train.jsonl"})
    (logged,) = runs_of(client)
    assert logged.data.params["train_steps"] == "3"
    assert logged.data.params["more/rank"] == "8"
    assert set(logged.data.params) == {"train_steps", "more/rank", "dataset_uri"}
    assert "secret" not in logged.data.params["dataset_uri"]


def test_no_step_of_a_curve_stands_twice(registry_uri: str, client: MlflowClient) -> None:
    run = open_run(registry_uri, "run-1", "intents")
    Curves(run).log([CurvePoint("loss", 3.0, 1, 10.0), CurvePoint("loss", 2.0, 2, 11.0)])
    # A task after a kill: it computes step 2 again, at another time.
    curves = Curves(open_run(registry_uri, "run-1", "intents"))
    curves.log([CurvePoint("loss", 2.0, 2, 20.0), CurvePoint("loss", 1.0, 3, 21.0)])
    curves.log([CurvePoint("loss", 1.0, 3, 21.0)])
    history = client.get_metric_history(run.id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_the_run_that_kubeflow_opened_is_joined_and_left_to_it(
    registry_uri: str, client: MlflowClient
) -> None:
    """As its plugin opens it: in an experiment of its own, with the id of the run as a tag."""
    theirs = client.create_run(
        client.create_experiment("KFP-Default"), tags={"kfp.pipeline_run_id": "run-1"}
    )
    run = open_run(registry_uri, "run-1", "intents")
    assert run.id == theirs.info.run_id
    run.log_metrics({"tuned/exact_match": 0.5})
    run.end(FINISHED, "refused by the gate")
    run.discard()
    found = client.get_run(run.id)
    assert (found.info.status, found.info.lifecycle_stage) == ("RUNNING", "active")
    assert found.data.metrics == {"tuned/exact_match": 0.5}
    assert found.data.tags[PROBLEM_TAG] == "refused by the gate"


def test_base_and_tuned_are_runs_of_the_same_metrics_that_go_with_theirs(
    registry_uri: str, client: MlflowClient
) -> None:
    run = open_run(registry_uri, "run-1", "intents")
    for _ in range(2):
        for name, value in (("base", 0.1), ("tuned", 0.9)):
            run.side(name).log_metrics({"exact_match": value})
    sides = [one for one in runs_of(client) if "mlflow.parentRunId" in one.data.tags]
    assert {one.info.run_name: one.data.metrics for one in sides} == {
        "intents base": {"exact_match": 0.1},
        "intents tuned": {"exact_match": 0.9},
    }
    run.discard()
    assert runs_of(client) == []
