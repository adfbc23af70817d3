"""A weekly schedule that is really run: three weeks, three versions of one model."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.conftest import EXAMPLE, Call
from tests.vertex.local_vertex import LocalVertex, local_vertex


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LocalVertex]:
    with local_vertex(tmp_path, execute=True) as running:
        bucket = running.storage.create_bucket("bucket")
        lines = (EXAMPLE / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (bucket / "train.jsonl").write_text("".join(lines[:24]), encoding="utf-8")
        yield running


def names_of(vertex: LocalVertex, state: str = "") -> list[str]:
    jobs = vertex.resources("pipelineJobs")
    return [job["name"] for job in jobs if not state or job["state"] == state]


@pytest.mark.slow
def test_three_weeks_make_three_versions_of_one_model(
    vertex: LocalVertex, call: Call, job_words: list[str]
) -> None:
    words = ["--cron", "0 9 * * 1", "--time-zone", "Europe/Berlin", "--max-runs", "3"]
    parameters = ["--train-steps", "2", "--deploy-model", "false"]
    call("schedule", "create", *job_words, *words, *parameters)
    followed: set[str] = set()
    for week in range(1, 4):
        vertex.clock.advance(timedelta(days=7))
        (job,) = set(names_of(vertex)) - followed
        followed.add(job)
        result = call("jobs", "show", job, "--wait", "--poll-seconds", "0.5")
        assert result.exit_code == 0, result.stdout
        assert f"models/router@{week}" in result.stdout
    vertex.clock.advance(timedelta(days=30))
    assert len(names_of(vertex)) == 3
    (schedule,) = vertex.resources("schedules")
    assert schedule["state"] == "COMPLETED"
    place = ["--project", "test-project", "--region", "us-central1"]
    shown = call("models", "list", *place).stdout.splitlines()[1:]
    versions = [line.split()[0] for line in shown]
    assert [version.rpartition("@")[2] for version in versions] == ["3", "2", "1"]
    assert len(set(versions)) == 3
    models: set[Any] = {model["name"].partition("@")[0] for model in vertex.resources("models")}
    assert len(models) == 1
