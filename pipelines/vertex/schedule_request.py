"""Makes the request of a schedule on Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.pipelines.jobs.cron import with_time_zone
from kfp_llm_tuning.pipelines.jobs.schedules import Timing, digest, name_problems

# On the job of a schedule: which request made the schedule. What is asked for twice has it twice.
TOKEN_LABEL = "kfp-llm-tuning-schedule"
_MAX_NAME = 128


def schedule_body(
    name: str, timing: Timing, parent: str, job_body: Mapping[str, Any]
) -> dict[str, Any]:
    """Makes the REST body of a schedule.

    Args:
        name: Its name for people.
        timing: When it starts runs.
        parent: ``projects/PROJECT/locations/LOCATION``.
        job_body: The body of every run's job.

    Returns:
        The body of ``projects.locations.schedules.create``; its job is labelled with a digest of
        the rest.

    Raises:
        UserError: With everything that is wrong with name and timing.
    """
    problems = _count_problems(timing) + name_problems(name, _MAX_NAME)
    cron = ""
    times: dict[str, str] = {}
    try:
        cron = with_time_zone(timing.cron, timing.time_zone)
    except UserError as error:
        problems += error.problems
    else:
        times, time_problems = _times(timing, cron)
        problems += time_problems
    raise_all(problems)
    body = {
        "displayName": name,
        "cron": cron,
        **times,
        "maxConcurrentRunCount": str(timing.max_concurrent),
        "allowQueueing": timing.allow_queueing,
        "createPipelineJobRequest": {"parent": parent, "pipelineJob": dict(job_body)},
    }
    if timing.max_runs:
        body["maxRunCount"] = str(timing.max_runs)
    return _with_token(body)


def _count_problems(timing: Timing) -> list[Problem]:
    problems = []
    if timing.max_runs < 0:
        problems.append(Problem(f"{timing.max_runs} is negative.", "--max-runs", "1 or more"))
    if timing.max_concurrent < 1:
        what = f"{timing.max_concurrent} lets no run start."
        problems.append(Problem(what, "--max-concurrent", "1 or more"))
    return problems


def _times(timing: Timing, cron: str) -> tuple[dict[str, str], list[Problem]]:
    times, problems = timing.ends(ZoneInfo(cron.split()[0].removeprefix("TZ=")))
    return {
        f"{field}Time": time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for field, time in times.items()
    }, problems


def _with_token(body: dict[str, Any]) -> dict[str, Any]:
    job = body["createPipelineJobRequest"]["pipelineJob"]
    job["labels"] = {
        **job.get("labels", {}),
        TOKEN_LABEL: digest(json.dumps(body, sort_keys=True))[:32],
    }
    return body
