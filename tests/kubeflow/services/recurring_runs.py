"""RecurringRunService: runs that start when the server's clock is advanced.

As the controller does it: a run that is due while too many are active waits. Without catching up
only the last of those that were due is then started.
"""

from __future__ import annotations

import re
import uuid
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kubeflow.backend import Backend, Call, Message, RecurringRun, fetch, serves
from tests.kubeflow.cron import check_cron, next_time
from tests.kubeflow.errors import internal, invalid
from tests.kubeflow.listing import list_page
from tests.kubeflow.messages import check, parse_time, without_empty, write_time
from tests.kubeflow.services import runs
from tests.kubeflow.services.experiments import experiment_of
from tests.kubeflow.specs import check_parameters

_FIELDS = (
    "id", "recurring_run_id", "name", "display_name", "created_at", "updated_at", "description",
)  # fmt: skip
_MODES = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}
_FOREVER = datetime.max.replace(tzinfo=UTC)
_KUBERNETES_NAME = 25


def attach(backend: Backend) -> None:
    """Let the recurring runs of a backend follow its clock and the ends of their runs."""
    backend.clock.add_timer(
        lambda until: _next_due(backend, until), lambda at: _start_due(backend, at)
    )
    backend.run_end_listeners.append(lambda _: _start_due(backend, backend.clock.now()))


@serves("POST", "/apis/v2beta1/recurringruns", "RecurringRunService.CreateRecurringRun")
def create_recurring_run(backend: Backend, call: Call) -> Message:
    """Check a recurring run and store it."""
    body = check(call.body, "V2beta1RecurringRun")
    if not body.get("display_name"):
        raise internal("Recurring run's name cannot be empty")
    if body.get("mode", "MODE_UNSPECIFIED") not in _MODES:
        raise invalid("Recurring run's mode is neither ENABLE nor DISABLE")
    concurrency = int(body.get("max_concurrency", 0))
    if not 1 <= concurrency <= 10:
        raise invalid(
            "Max concurrency of a recurring run must be at least 1 and at most 10. Received "
            f"{concurrency}"
        )
    _check_trigger(body.get("trigger") or {})
    package = runs.package_of(backend, body)
    check_parameters(package, (body.get("runtime_config") or {}).get("parameters") or {})
    experiment = experiment_of(
        backend,
        body.get("experiment_id", ""),
        body.get("namespace", "") if backend.multi_user else "",
    )
    now = backend.clock.now()
    message = {
        **{name: body.get(name) for name in ("display_name", "description", "runtime_config")},
        **{name: body.get(name) for name in ("trigger", "no_catchup", "mode")},
        "recurring_run_id": str(uuid.uuid4()),
        "max_concurrency": str(concurrency),
        "service_account": body.get("service_account") or "pipeline-runner",
        "created_at": write_time(now),
        "updated_at": write_time(now),
        "status": _MODES[body["mode"]],
        "namespace": experiment["namespace"] or "kubeflow",
        "experiment_id": experiment["experiment_id"],
        **runs.source_of(body),
    }
    backend.recurring_runs[message["recurring_run_id"]] = RecurringRun(message, package, now)
    return without_empty(message)


@serves(
    "GET", "/apis/v2beta1/recurringruns/{recurring_run_id}", "RecurringRunService.GetRecurringRun"
)
def get_recurring_run(backend: Backend, call: Call) -> Message:
    """Answer with a recurring run."""
    return without_empty(_fetch(backend, call).message)


@serves("GET", "/apis/v2beta1/recurringruns", "RecurringRunService.ListRecurringRuns")
def list_recurring_runs(backend: Backend, call: Call) -> Message:
    """List the recurring runs of an experiment or a namespace."""
    experiment = call.query.get("experiment_id", "")
    namespace = "" if experiment else backend.namespace(call.query.get("namespace", ""))
    items = [
        one.message
        for one in backend.recurring_runs.values()
        if (not experiment or one.message["experiment_id"] == experiment)
        and (not namespace or one.message["namespace"] == namespace)
    ]
    page, size, token = list_page(items, call.query, _FIELDS, "recurring_run_id")
    return without_empty(
        {
            "recurringRuns": [without_empty(one) for one in page],
            "total_size": size,
            "next_page_token": token,
        }
    )


@serves(
    "POST",
    "/apis/v2beta1/recurringruns/{recurring_run_id}:enable",
    "RecurringRunService.EnableRecurringRun",
)
def enable_recurring_run(backend: Backend, call: Call) -> Message:
    """Let runs start again."""
    _set_mode(backend, call, "ENABLE")
    _start_due(backend, backend.clock.now())
    return {}


@serves(
    "POST",
    "/apis/v2beta1/recurringruns/{recurring_run_id}:disable",
    "RecurringRunService.DisableRecurringRun",
)
def disable_recurring_run(backend: Backend, call: Call) -> Message:
    """Start no more runs until it is enabled."""
    _set_mode(backend, call, "DISABLE")
    return {}


@serves(
    "DELETE",
    "/apis/v2beta1/recurringruns/{recurring_run_id}",
    "RecurringRunService.DeleteRecurringRun",
)
def delete_recurring_run(backend: Backend, call: Call) -> Message:
    """Delete a recurring run; its runs stay."""
    del backend.recurring_runs[_fetch(backend, call).message["recurring_run_id"]]
    return {}


def _fetch(backend: Backend, call: Call) -> RecurringRun:
    identifier = call.path["recurring_run_id"]
    found: RecurringRun = fetch(backend.recurring_runs, "Job", identifier)
    return found


def _set_mode(backend: Backend, call: Call, mode: str) -> None:
    message = _fetch(backend, call).message
    message["mode"], message["status"] = mode, _MODES[mode]
    message["updated_at"] = write_time(backend.clock.now())


def _check_trigger(trigger: Message) -> None:
    cron, period = trigger.get("cron_schedule"), trigger.get("periodic_schedule")
    if cron and cron.get("cron"):
        check_cron(cron["cron"])
    elif period:
        seconds = int(period.get("interval_second", 0))
        if seconds < 1:
            raise invalid(f"Found invalid period schedule interval {seconds}.")


def _next_due(backend: Backend, until: datetime) -> datetime | None:
    with backend.lock:
        due = [
            time
            for one in backend.recurring_runs.values()
            if _may_start(backend, one)
            for time in [_scheduled(one, one.last)]
            if time <= until
        ]
    return min(due, default=None)


def _start_due(backend: Backend, now: datetime) -> None:
    with backend.lock:
        for one in list(backend.recurring_runs.values()):
            while _may_start(backend, one) and (at := _to_run(one, now)) <= now:
                _start(backend, one, at)


def _start(backend: Backend, recurring: RecurringRun, at: datetime) -> None:
    message = recurring.message
    recurring.last, recurring.index = at, recurring.index + 1
    name = re.sub(r"[^a-z0-9-]+", "", message["display_name"].lower()) or "job-"
    name = f"{name[:_KUBERNETES_NAME]}{message['recurring_run_id'][:5]}-{recurring.index}"
    body = {
        "display_name": f"{name}-{zlib.crc32(name.encode())}",
        "experiment_id": message["experiment_id"],
        "runtime_config": message["runtime_config"],
        "service_account": message["service_account"],
        **runs.source_of(message),
    }
    runs.start_run(backend, body, recurring.package, message["recurring_run_id"])


def _may_start(backend: Backend, recurring: RecurringRun) -> bool:
    identifier = recurring.message["recurring_run_id"]
    active = [
        run
        for run in backend.runs.values()
        if run.message["recurring_run_id"] == identifier and run.message["state"] in runs.ACTIVE
    ]
    is_enabled = recurring.message["mode"] == "ENABLE"
    return is_enabled and len(active) < int(recurring.message["max_concurrency"])


def _to_run(recurring: RecurringRun, now: datetime) -> datetime:
    """The time whose run is next: without catching up, the last that is past."""
    at = _scheduled(recurring, recurring.last)
    while recurring.message.get("no_catchup"):
        later = _scheduled(recurring, at)
        if later > now:
            break
        at = later
    return at


def _scheduled(recurring: RecurringRun, last: datetime | None) -> datetime:
    """The first time after the last one, or after the beginning; never, after the end."""
    trigger: Message = recurring.message.get("trigger") or {}
    schedule: Any = trigger.get("cron_schedule") or trigger.get("periodic_schedule") or {}
    start = parse_time(schedule["start_time"]) if schedule.get("start_time") else None
    end = parse_time(schedule["end_time"]) if schedule.get("end_time") else _FOREVER
    after = max(
        last or start or recurring.created, start or recurring.created.min.replace(tzinfo=UTC)
    )
    if schedule.get("cron"):
        at = next_time(schedule["cron"], after)
    elif schedule.get("interval_second"):
        at = after + timedelta(seconds=int(schedule["interval_second"]))
    else:
        return _FOREVER
    return at if at <= end else _FOREVER
