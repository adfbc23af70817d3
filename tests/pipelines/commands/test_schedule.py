"""``schedule create|list|show|pause|resume|delete`` against the local Vertex AI."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from tests.pipelines.conftest import Call
from tests.vertex.faults import Kind
from tests.vertex.local_vertex import LocalVertex

PLACE = ["--project", "test-project", "--region", "us-central1"]
WEEKLY = ["--cron", "0 9 * * 1", "--time-zone", "Europe/Berlin"]


def the_schedule(server: LocalVertex) -> dict[str, Any]:
    (schedule,) = server.resources("schedules")
    return schedule


def test_create(vertex_server: LocalVertex, call: Call, job_words: list[str]) -> None:
    account = "tuner@test-project.iam.gserviceaccount.com"
    result = call(
        *("schedule", "create", *job_words, *WEEKLY, "--max-runs", "3", "--allow-queueing"),
        *("--service-account", account, "--label", "team=a", "--name", "weekly"),
    )
    schedule = the_schedule(vertex_server)
    assert schedule["displayName"] == "weekly"
    assert schedule["cron"] == "TZ=Europe/Berlin 0 9 * * 1"
    assert (schedule["maxRunCount"], schedule["allowQueueing"]) == ("3", True)
    job = schedule["createPipelineJobRequest"]["pipelineJob"]
    assert (job["serviceAccount"], job["labels"]["team"]) == (account, "a")
    parameters = job["runtimeConfig"]["parameterValues"]
    assert parameters["model_display_name"] == "router-{date}"
    assert parameters["parent_model"] == "router"
    assert "every run deploys its model to an endpoint of its own" in result.stderr
    assert "TZ=Europe/Berlin 0 9 * * 1" in result.stdout


def test_the_key_is_carried(vertex_server: LocalVertex, call: Call, job_words: list[str]) -> None:
    key = "projects/test-project/locations/us-central1/keyRings/r/cryptoKeys/k"
    words = ["--encryption-spec-key-name", key, "--deploy-model", "false"]
    result = call("schedule", "create", *job_words, *WEEKLY, *words)
    job = the_schedule(vertex_server)["createPipelineJobRequest"]["pipelineJob"]
    assert job["encryptionSpec"] == {"kmsKeyName": key}
    assert "endpoint of its own" not in result.stderr


def test_a_run_every_minute_is_told(
    vertex_server: LocalVertex, call: Call, job_words: list[str]
) -> None:
    words = ["--cron", "* 9 * * 1", "--dry-run"]
    result = call("schedule", "create", *job_words, *words)
    assert "* 9 * * 1 starts 60 runs in each of its hours" in result.stderr


@pytest.mark.parametrize("kind", ["unavailable", "reset", "duplicate"])
def test_a_create_that_failed_after_commit_or_came_twice_makes_one(
    vertex_server: LocalVertex, no_backoff: None, call: Call, job_words: list[str], kind: Kind
) -> None:
    vertex_server.faults.inject("ScheduleService.CreateSchedule", kind, 1, after_commit=True)
    printed = call("schedule", "create", *job_words, *WEEKLY).stdout
    the_schedule(vertex_server)
    assert ("which a repeated delivery had made" in printed) == (kind == "duplicate")
    assert "It was there before" in call("schedule", "create", *job_words, *WEEKLY).stdout
    the_schedule(vertex_server)


def test_the_dry_run_prints_what_is_sent(
    vertex_server: LocalVertex, call: Call, job_words: list[str]
) -> None:
    body = json.loads(call("schedule", "create", *job_words, *WEEKLY, "--dry-run").stdout)
    assert vertex_server.requests == []
    call("schedule", "create", *job_words, *WEEKLY)
    schedule = the_schedule(vertex_server)
    for field in ("displayName", "cron", "createPipelineJobRequest"):
        assert schedule[field] == body[field]


def test_nothing_is_sent_when_something_is_wrong(
    vertex_server: LocalVertex, call: Call, job_words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        call("schedule", "create", *job_words, "--cron", "x", "--time-zone", "y", "--start", "z")
    assert len(caught.value.problems) == 2
    with pytest.raises(UserError, match="seed"):
        call("schedule", "create", *job_words, *WEEKLY, "--seed", "-1")
    assert vertex_server.requests == []


def test_the_life_of_a_schedule(
    vertex_server: LocalVertex, call: Call, job_words: list[str]
) -> None:
    call("schedule", "create", *job_words, *WEEKLY, "--max-concurrent", "3")
    vertex_server.clock.advance(timedelta(days=14))
    lines = call("schedule", "list", *PLACE).stdout.splitlines()
    assert lines[0].split()[:3] == ["SCHEDULE", "NAME", "STATE"]
    assert lines[1].split()[1:3] == ["router", "active"]
    shown = call("schedule", "show", "router", *PLACE).stdout
    assert "runs      2 of any number" in shown
    assert sum(line.startswith("tune-large-model-") for line in shown.splitlines()) == 2
    assert "Paused router" in call("schedule", "pause", "router", *PLACE).stdout
    assert call("schedule", "list", *PLACE, "--state", "active").stdout == "No schedules.\n"
    assert "Resumed router" in call("schedule", "resume", "router", *PLACE, "--catch-up").stdout
    number = the_schedule(vertex_server)["name"].rpartition("/")[2]
    (found,) = json.loads(call("schedule", "list", *PLACE, "--json").stdout)
    assert found["name"].endswith(number)
    assert "pipelineSpec" not in found["createPipelineJobRequest"]["pipelineJob"]
    assert call("schedule", "delete", number, *PLACE, answer="n\n").exit_code == 1
    the_schedule(vertex_server)
    call("schedule", "delete", number, *PLACE, "--yes")
    assert vertex_server.resources("schedules") == []
    assert len(vertex_server.resources("pipelineJobs")) == 2


def test_show_as_json(vertex_server: LocalVertex, call: Call, job_words: list[str]) -> None:
    call("schedule", "create", *job_words, *WEEKLY)
    found = json.loads(call("schedule", "show", "router", *PLACE, "--json").stdout)
    assert found["displayName"] == "router"
