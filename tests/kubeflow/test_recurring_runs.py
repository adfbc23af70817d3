"""Recurring runs of the local Kubeflow Pipelines, made by kfp.Client and moved by its clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import kfp_server_api
import pytest
from kfp import Client

from tests.kubeflow.local_kubeflow import LocalKubeflow

DAY, WEEK = timedelta(days=1), timedelta(days=7)


def make(client: Client, package: Path, **options: Any) -> str:
    experiment = client.create_experiment("trials").experiment_id
    options = {"cron_expression": "0 0 9 * * 1", "params": {"text": "x"}, **options}
    made = client.create_recurring_run(
        experiment, "weekly", pipeline_package_path=str(package), **options
    )
    return str(made.recurring_run_id)


def finish_all(kubeflow: LocalKubeflow) -> None:
    for run in kubeflow.runs:
        kubeflow.finish(run["run_id"])


def test_a_run_starts_every_week(kubeflow: LocalKubeflow, client: Client, package: Path) -> None:
    recurring = make(client, package)
    for week in range(1, 4):
        kubeflow.clock.advance(WEEK)
        assert len(kubeflow.runs) == week
        finish_all(kubeflow)
    names = [run["display_name"] for run in kubeflow.runs]
    assert len(set(names)) == 3
    assert all(name.startswith("weekly") for name in names)
    assert all(run["recurring_run_id"] == recurring for run in kubeflow.runs)
    assert all("T09:00:00Z" in run["scheduled_at"] for run in kubeflow.runs)


def test_five_fields_are_taken_for_seconds_first(
    kubeflow: LocalKubeflow, client: Client, package: Path
) -> None:
    make(client, package, cron_expression="0 9 * * 1", max_concurrency=10)
    kubeflow.clock.advance(timedelta(hours=3))
    in_january = kubeflow.clock.now().month == 1
    assert bool(kubeflow.runs) == in_january  # at minute 9 of every hour of every day of January


@pytest.mark.parametrize(("no_catchup", "count"), [(True, 2), (False, 4)])
def test_what_was_due_while_a_run_was_active(
    kubeflow: LocalKubeflow, client: Client, package: Path, no_catchup: bool, count: int
) -> None:
    make(client, package, no_catchup=no_catchup)
    kubeflow.clock.advance(4 * WEEK)
    assert len(kubeflow.runs) == 1
    for _ in range(5):
        finish_all(kubeflow)
    assert len(kubeflow.runs) == count


def test_disabled_and_enabled_again(kubeflow: LocalKubeflow, client: Client, package: Path) -> None:
    recurring = make(client, package, no_catchup=True)
    client.disable_recurring_run(recurring)
    kubeflow.clock.advance(3 * WEEK)
    assert kubeflow.runs == []
    assert client.get_recurring_run(recurring).status == "DISABLED"
    client.enable_recurring_run(recurring)
    assert len(kubeflow.runs) == 1  # the last one that was missed


def test_start_and_end(kubeflow: LocalKubeflow, client: Client, package: Path) -> None:
    now = kubeflow.clock.now()
    make(
        client, package, cron_expression="0 0 12 * * *", max_concurrency=10,
        start_time=(now + 3 * DAY).isoformat(), end_time=(now + 5 * DAY).isoformat(),
    )  # fmt: skip
    kubeflow.clock.advance(10 * DAY)
    assert len(kubeflow.runs) == 2


def test_by_interval(kubeflow: LocalKubeflow, client: Client, package: Path) -> None:
    make(client, package, cron_expression=None, interval_second=3600, max_concurrency=10)
    kubeflow.clock.advance(timedelta(hours=5))
    assert len(kubeflow.runs) == 5


def test_listed_and_deleted(kubeflow: LocalKubeflow, client: Client, package: Path) -> None:
    recurring = make(client, package)
    kubeflow.clock.advance(WEEK)
    (found,) = client.list_recurring_runs().recurring_runs
    assert (found.display_name, found.max_concurrency) == ("weekly", "1")
    assert found.trigger.cron_schedule.cron == "0 0 9 * * 1"
    client.delete_recurring_run(recurring)
    assert client.list_recurring_runs().recurring_runs is None
    kubeflow.clock.advance(WEEK)
    assert len(kubeflow.runs) == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"cron_expression": "0 9 * *"}, "Expected 5 to 6 fields"),
        ({"cron_expression": "TZ=UTC 0 0 9 * * 1"}, "Expected 5 to 6 fields"),
        ({"cron_expression": "0 0 9 * * 7"}, "above maximum"),
        ({"cron_expression": "0 0 25 * * 1"}, "not a supported format"),
        ({"max_concurrency": 11}, "at most 10"),
        ({"params": {}}, "is not optional"),
    ],
)
def test_what_is_refused(client: Client, package: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(kfp_server_api.ApiException, match=text) as caught:
        make(client, package, **options)
    assert caught.value.status == 400
