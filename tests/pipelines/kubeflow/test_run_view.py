"""A run as people want to see it, read out of the service's answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from kfp_llm_tuning.pipelines.kubeflow.run_view import RunFacts, leaves, view
from kfp_llm_tuning.pipelines.kubeflow.task_errors import FAILED, _messages

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
NEVER = datetime.fromtimestamp(0, UTC)
SPEC = {
    "root": {"dag": {"tasks": {"validate": {"componentRef": {"name": "c-validate"}},
                               "graph": {"componentRef": {"name": "c-graph"}}}}},
    "components": {
        "c-validate": {"executorLabel": "e"},
        "c-graph": {"dag": {"tasks": {"tune": {"componentRef": {"name": "c-tune"}}}}},
        "c-tune": {"executorLabel": "e"},
    },
}  # fmt: skip


def task(name: str, state: str | None, second: int = 0, ended: bool = True) -> SimpleNamespace:
    begun = START + timedelta(seconds=second) if state else NEVER
    return SimpleNamespace(
        display_name=name,
        state=state,
        start_time=begun,
        end_time=begun + timedelta(seconds=5) if ended and state else NEVER,
        error=None,
    )


def run(state: str, *tasks: Any, history: tuple[str, ...] = (), **more: Any) -> SimpleNamespace:
    fields = {
        "run_id": "r",
        "display_name": "router",
        "state": state,
        "created_at": START,
        "finished_at": START + timedelta(minutes=2),
        "runtime_config": SimpleNamespace(parameters={"model_display_name": "m"}),
        "error": None,
        "run_details": SimpleNamespace(task_details=list(tasks)),
        "state_history": [SimpleNamespace(state=one) for one in history],
        **more,
    }
    return SimpleNamespace(**fields)


def test_everything() -> None:
    tasks = [task("tune", "RUNNING", 7), task("validate", "SUCCEEDED", 1), task("graph", "RUNNING")]
    made = view(run("RUNNING", *tasks), RunFacts("t", SPEC, {}, "m@1", "e"), "http://ui")
    assert (made.name, made.id, made.display_name, made.template) == ("r", "r", "router", "t")
    assert (made.state, made.created) == ("running", "2026-01-05T09:00:00+00:00")
    assert (made.seconds, made.model_display_name) == (120.0, "m")
    assert (made.model, made.endpoint) == ("m@1", "e")
    assert made.console == "http://ui/#/runs/details/r"
    assert [one.name for one in made.tasks] == ["validate", "tune"]


@pytest.mark.parametrize(
    ("state", "history", "expected"),
    [
        ("SUCCEEDED", (), "succeeded"),
        ("FAILED", ("PENDING", "RUNNING", "FAILED"), "failed"),
        ("FAILED", ("RUNNING", "CANCELING", "FAILED"), "cancelled"),
        ("CANCELING", (), "cancelling"),
        ("CANCELED", (), "cancelled"),
        ("PAUSED", (), "pending"),
        (None, (), "pending"),
    ],
)
def test_states(state: Any, history: tuple[str, ...], expected: str) -> None:
    assert view(run(state, history=history), RunFacts(), "").state == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [("SUCCEEDED", "succeeded"), ("SKIPPED", "not_triggered"), (None, "not_triggered"),
     ("CANCELED", "cancelled")],
)  # fmt: skip
def test_states_of_tasks(state: str | None, expected: str) -> None:
    (made,) = view(run("RUNNING", task("tune", state)), RunFacts(spec=SPEC), "").tasks
    assert made.state == expected
    assert made.seconds == (5.0 if state else 0.0)


def test_a_run_that_has_not_begun_and_one_that_has_not_ended() -> None:
    made = view(run("PENDING", finished_at=NEVER, run_details=None), RunFacts(), "")
    assert (made.tasks, made.console) == ((), "")
    assert made.seconds > 100


def test_why_a_task_failed() -> None:
    failed = run("FAILED", task("tune", "FAILED"), task("validate", "FAILED", 1))
    first, second = view(failed, RunFacts(spec=SPEC, errors={"tune": "exit code 1."}), "").tasks
    assert (first.error, second.error) == ("exit code 1.", "no reason was given.")


def test_drivers_and_executors_of_a_pipeline_that_is_not_known() -> None:
    names = ("root-driver", "root", "tune-driver", "tune", "executor", "executor(0)")
    tasks = [task(name, "SUCCEEDED") for name in names]
    assert [one.name for one in view(run("RUNNING", *tasks), RunFacts(), "").tasks] == ["tune"]


def test_leaves() -> None:
    assert sorted(leaves(SPEC)) == ["tune", "validate"]


def node(name: str, boundary: str = "", kind: str = "Pod", **more: str) -> dict[str, str]:
    fields = {"displayName": name, "boundaryID": boundary, "type": kind, "phase": "Failed"}
    return {**fields, "message": f"of {name}", **more}


def test_messages_are_those_of_pods_by_their_tasks() -> None:
    nodes = {
        "1": node("tune", kind="DAG"),
        "2": node("executor(0)", "1", message="Error (exit code 1)"),
        "3": node("validate-driver"),
        "4": node("other", phase="Succeeded"),
    }
    assert _messages(nodes, FAILED) == {
        "tune": "Error (exit code 1).",
        "validate": "of validate-driver.",
    }
