"""Tasks of a cluster, which show their run in MLflow themselves."""

from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import Problem, RunAgain, UserError
from kfp_llm_tuning.components.tracking.connection import connect, experiment_id
from kfp_llm_tuning.components.tracking.tracked_run import PROBLEM_TAG, RUN_ID_VARIABLE
from kfp_llm_tuning.components.tracking.tracked_task import WATCHED_VARIABLE, tracked_task


@pytest.fixture(autouse=True)
def in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_ID_VARIABLE, "run-1")
    monkeypatch.delenv(WATCHED_VARIABLE, raising=False)


def runs_in(registry_uri: str) -> list[Any]:
    client = connect(registry_uri)
    return list(client.search_runs([experiment_id(client)]))


def test_a_dataset_that_is_refused_after_the_parameters_were_not(registry_uri: str) -> None:
    with tracked_task("validate-pipeline", registry_uri, "intents", {"train_steps": 300}):
        pass
    with (
        pytest.raises(UserError),
        tracked_task("validate-dataset", registry_uri, "tuning"),
    ):
        raise UserError(Problem("no JSON.", "train.jsonl line 3"))
    (run,) = runs_in(registry_uri)
    assert (run.info.run_name, run.info.status) == ("intents", "FAILED")
    assert run.data.params == {"train_steps": "300"}
    assert run.data.tags[PROBLEM_TAG] == "validate-dataset failed\ntrain.jsonl line 3: no JSON."


def test_a_fault_of_ours_is_shown_and_an_interruption_is_none(registry_uri: str) -> None:
    with pytest.raises(RunAgain), tracked_task("tuner", registry_uri, "intents"):
        raise RunAgain("the machine is taken away")
    (run,) = runs_in(registry_uri)
    assert run.info.status == "RUNNING"
    with pytest.raises(ZeroDivisionError), tracked_task("tuner", registry_uri, "intents"):
        raise ZeroDivisionError("division by zero")
    (run,) = runs_in(registry_uri)
    assert run.data.tags[PROBLEM_TAG] == "tuner failed\nZeroDivisionError: division by zero"


def test_where_a_program_watches_the_tasks_leave_it_to_that(
    registry_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WATCHED_VARIABLE, "1")
    with tracked_task("validate-pipeline", registry_uri, "intents"):
        pass
    assert runs_in(registry_uri) == []
