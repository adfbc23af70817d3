"""``schedule ... --platform kubeflow`` against the local Kubeflow Pipelines."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from tests.kubeflow.local_kubeflow import LocalKubeflow
from tests.pipelines.conftest import Call
from tests.vertex.faults import Kind

WEEKLY = ["--cron", "0 9 * * 1"]
CREATE = "RecurringRunService.CreateRecurringRun"


def the_schedule(server: LocalKubeflow) -> dict[str, Any]:
    (schedule,) = server.recurring_runs
    return schedule


def test_create(kubeflow_server: LocalKubeflow, call: Call, run_words: list[str]) -> None:
    result = call(
        *("schedule", "create", *run_words, *WEEKLY, "--allow-queueing", "--max-concurrent", "2"),
        *("--start", "2030-01-01T09:00", "--end", "2031-01-01T00:00:00+01:00"),
        *("--service-account", "tuner", "--label", "team=a", "--name", "weekly"),
        *("--experiment", "trials", "--pipeline-root", "s3://bucket/runs"),
    )
    schedule = the_schedule(kubeflow_server)
    assert schedule["display_name"] == "weekly"
    assert schedule["trigger"]["cron_schedule"] == {
        "cron": "0 0 9 * * 1",
        "start_time": "2030-01-01T09:00:00Z",
        "end_time": "2030-12-31T23:00:00Z",
    }
    assert (schedule["max_concurrency"], schedule["no_catchup"]) == ("2", False)
    assert schedule["service_account"] == "tuner"
    assert json.loads(schedule["description"])["labels"] == {"team": "a"}
    parameters = schedule["runtime_config"]["parameters"]
    assert parameters["model_display_name"] == "router"
    assert "parent_model" not in parameters
    assert schedule["runtime_config"]["pipeline_root"] == "s3://bucket/runs"
    for text in ("name      weekly", "state     active", "cron      0 0 9 * * 1",
                 "start     2030-01-01 09:00 UTC", "runs      0 of any number"):  # fmt: skip
        assert text in result.stdout


def test_runs_that_were_left_out_are_not_made_up_for_by_default(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str]
) -> None:
    call("schedule", "create", *run_words, *WEEKLY)
    assert the_schedule(kubeflow_server)["no_catchup"] is True


def test_a_run_every_minute_is_told(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str]
) -> None:
    result = call("schedule", "create", *run_words, "--cron", "* 9 * * 1", "--dry-run")
    assert "* 9 * * 1 starts 60 runs in each of its hours" in result.stderr


@pytest.mark.parametrize("kind", ["unavailable", "reset", "duplicate"])
def test_a_create_that_failed_after_commit_or_came_twice_makes_one(
    kubeflow_server: LocalKubeflow, no_backoff: None, call: Call, run_words: list[str], kind: Kind
) -> None:
    kubeflow_server.faults.inject(CREATE, kind, 1, after_commit=True)
    printed = call("schedule", "create", *run_words, *WEEKLY).stdout
    the_schedule(kubeflow_server)
    assert ("which a repeated delivery had made" in printed) == (kind == "duplicate")
    assert "It was there before" in call("schedule", "create", *run_words, *WEEKLY).stdout
    the_schedule(kubeflow_server)


@pytest.mark.parametrize(
    "words", [["--cron", "0 8 * * 1"], [*WEEKLY, "--seed", "3"], [*WEEKLY, "--no-caching"]]
)
def test_another_schedule_has_the_name(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str], words: list[str]
) -> None:
    call("schedule", "create", *run_words, *WEEKLY)
    with pytest.raises(UserError, match=r"another schedule is called 'router'.*schedule delete"):
        call("schedule", "create", *run_words, *words)
    the_schedule(kubeflow_server)


def test_the_dry_run_prints_what_is_sent(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str]
) -> None:
    body = json.loads(call("schedule", "create", *run_words, *WEEKLY, "--dry-run").stdout)
    assert kubeflow_server.requests == []
    call("schedule", "create", *run_words, *WEEKLY)
    schedule = the_schedule(kubeflow_server)
    for field in ("display_name", "description", "trigger", "runtime_config", "no_catchup"):
        assert schedule[field] == body[field]
    kfp_takes_it = {*schedule, "pipeline_spec"}
    assert set(body) <= kfp_takes_it


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--cron", "x", "--start", "z", "--max-concurrent", "11"],
         ["--cron", "--start", "--max-concurrent"]),
        ([*WEEKLY, "--time-zone", "Europe/Berlin"], ["--time-zone", "CRON_SCHEDULE_TIMEZONE"]),
        ([*WEEKLY, "--max-runs", "3"], ["--max-runs: is an option of Vertex AI"]),
        ([*WEEKLY, "--seed", "-1"], ["seed"]),
        ([*WEEKLY, "--end", "2020-01-01"], ["it ends before it starts"]),
        ([*WEEKLY, "--label", f"a={'b' * 200}"], ["--label"]),
        ([*WEEKLY, "--name", "x" * 300], ["cannot name a schedule"]),
    ],
)  # fmt: skip
def test_nothing_is_sent_when_something_is_wrong(
    kubeflow_server: LocalKubeflow,
    call: Call,
    run_words: list[str],
    words: list[str],
    messages: list[str],
) -> None:
    with pytest.raises(UserError) as caught:
        call("schedule", "create", *run_words, *words)
    for message in messages:
        assert message in str(caught.value)
    assert kubeflow_server.requests == []


def test_the_life_of_a_schedule(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str], on_kubeflow: list[str]
) -> None:
    call("schedule", "create", *run_words, *WEEKLY, "--max-concurrent", "3")
    kubeflow_server.clock.advance(timedelta(days=14))
    lines = call("schedule", "list", *on_kubeflow).stdout.splitlines()
    assert lines[0].split()[:3] == ["SCHEDULE", "NAME", "STATE"]
    assert lines[1].split()[1:3] == ["router", "active"]
    assert lines[1].split()[-1] == "2"
    shown = call("schedule", "show", "router", *on_kubeflow).stdout
    assert "runs      2 of any number" in shown
    newest, oldest = [run["run_id"] for run in kubeflow_server.runs][::-1]
    assert shown.index(newest) < shown.index(oldest)
    assert "Paused router" in call("schedule", "pause", "router", *on_kubeflow).stdout
    listed = call("schedule", "list", *on_kubeflow, "--state", "active").stdout
    assert listed == "No schedules.\n"
    with pytest.raises(UserError, match=r"--catch-up: .*--allow-queueing"):
        call("schedule", "resume", "router", *on_kubeflow, "--catch-up")
    assert "Resumed router" in call("schedule", "resume", "router", *on_kubeflow).stdout
    identifier = the_schedule(kubeflow_server)["recurring_run_id"]
    (found,) = json.loads(call("schedule", "list", *on_kubeflow, "--json").stdout)
    assert (found["recurring_run_id"], found["started_run_count"]) == (identifier, 2)
    assert call("schedule", "delete", identifier, *on_kubeflow, answer="n\n").exit_code == 1
    the_schedule(kubeflow_server)
    call("schedule", "delete", identifier, *on_kubeflow, "--yes")
    assert kubeflow_server.recurring_runs == []
    assert len(kubeflow_server.runs) == 2


@pytest.mark.parametrize("command", ["pause", "resume", "delete"])
@pytest.mark.parametrize("kind", ["unavailable", "reset"])
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_fault_does_not_keep_a_schedule_from_being_changed(
    kubeflow_server: LocalKubeflow,
    no_backoff: None,
    call: Call,
    run_words: list[str],
    on_kubeflow: list[str],
    command: str,
    kind: Kind,
    after_commit: bool,
) -> None:
    call("schedule", "create", *run_words, *WEEKLY)
    verb = {"pause": "Disable", "resume": "Enable", "delete": "Delete"}[command]
    method = f"RecurringRunService.{verb}RecurringRun"
    kubeflow_server.faults.inject(method, kind, 2, after_commit)
    confirm = ["--yes"] if command == "delete" else []
    call("schedule", command, "router", *on_kubeflow, *confirm)
    assert [one["status"] for one in kubeflow_server.recurring_runs] == {
        "pause": ["DISABLED"],
        "resume": ["ENABLED"],
        "delete": [],
    }[command]


def test_a_schedule_that_is_over(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str], on_kubeflow: list[str]
) -> None:
    call("schedule", "create", *run_words, *WEEKLY)
    trigger = the_schedule(kubeflow_server)["trigger"]["cron_schedule"]
    trigger["end_time"] = "2020-01-01T00:00:00Z"
    (found,) = json.loads(
        call("schedule", "list", *on_kubeflow, "--state", "completed", "--json").stdout
    )
    assert found["display_name"] == "router"


def test_no_such_schedule(call: Call, on_kubeflow: list[str]) -> None:
    with pytest.raises(UserError, match="no schedule is called 'none'"):
        call("schedule", "show", "none", *on_kubeflow)


def test_show_as_json(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str], on_kubeflow: list[str]
) -> None:
    call("schedule", "create", *run_words, *WEEKLY)
    found = json.loads(call("schedule", "show", "router", *on_kubeflow, "--json").stdout)
    assert found["display_name"] == "router"
