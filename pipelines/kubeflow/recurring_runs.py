"""Recurring runs: made once however often they are asked for, looked up, paused, deleted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.pipelines.jobs.schedules import ScheduleView
from kfp_llm_tuning.pipelines.kubeflow import runs
from kfp_llm_tuning.pipelines.kubeflow.api_errors import ApiException, explained
from kfp_llm_tuning.pipelines.kubeflow.connection import KubeflowApi, ensure
from kfp_llm_tuning.pipelines.kubeflow.lists import list_all, predicate
from kfp_llm_tuning.pipelines.kubeflow.run_settings import RunNote

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_FOUND = 404
_ENABLED = "ENABLED"


def create(api: KubeflowApi, body: Mapping[str, Any]) -> tuple[Any, bool, tuple[str, ...]]:
    """Makes a recurring run unless the same request made it before.

    The service takes no id for it: a request that was delivered twice makes two. So it is looked
    for by the digest in its description before every try, and afterwards the youngest of twins are
    deleted.

    Args:
        api: Where.
        body: From ``recurring_run_body``, with its experiment and its version.

    Returns:
        The recurring run, whether it was there before, and the ids of the twins.

    Raises:
        UserError: If another one has the name.
    """
    name, key = str(body["display_name"]), RunNote.parse(body["description"]).key
    there = list(_named(api, api.read, name))
    if others := [one for one in there if RunNote.parse(one.description).key != key]:
        raise UserError(_name_is_taken(name, others[0]))

    def twins(call: Callable[..., Any]) -> Iterator[Any]:
        found = _named(api, call, name)
        return (one for one in found if RunNote.parse(one.description).key == key)

    service = api.client.recurring_runs
    made = ensure(
        lambda: next(twins(api.once), None),
        lambda: api.once(
            service.recurring_run_service_create_recurring_run, recurring_run=dict(body)
        ),
    )
    oldest, *extra = list(twins(api.read)) or [made]
    for twin in extra:
        delete(api, str(twin.recurring_run_id))
    return oldest, bool(there), tuple(str(twin.recurring_run_id) for twin in extra)


def list_recurring_runs(api: KubeflowApi) -> list[Any]:
    """Lists recurring runs, the newest first."""
    with explained("list the recurring runs"):
        return list(list_all(_ask(api, api.read)))


def find(api: KubeflowApi, schedule: str) -> Any:
    """Looks a recurring run up.

    Args:
        api: Where.
        schedule: Its id, or its name.

    Returns:
        The recurring run.

    Raises:
        UserError: If there is none, or if several have the name.
    """
    service = api.client.recurring_runs
    with explained(f"read the recurring run {schedule}", "SCHEDULE"):
        if _ID.fullmatch(schedule):
            return api.read(service.recurring_run_service_get_recurring_run, schedule)
        found = list(_named(api, api.read, schedule))
    if len(found) != 1:
        ids = ", ".join(str(one.recurring_run_id) for one in found)
        what = f"{len(found)} schedules are" if found else "no schedule is"
        fix = f"Give one of {ids}." if found else "`schedule list` lists them."
        raise UserError(Problem(f"{what} called {schedule!r}.", "SCHEDULE", fix=fix))
    return found[0]


def set_enabled(api: KubeflowApi, identifier: str, enabled: bool) -> None:
    """Lets a recurring run start runs, or keeps it from that.

    Args:
        api: Where.
        identifier: Its id.
        enabled: Which of both.
    """
    service = api.client.recurring_runs
    change = (
        service.recurring_run_service_enable_recurring_run
        if enabled
        else service.recurring_run_service_disable_recurring_run
    )
    with explained(f"{'resume' if enabled else 'pause'} the recurring run", "SCHEDULE"):
        # Doing it twice is doing it once.
        api.read(change, identifier)


def delete(api: KubeflowApi, identifier: str) -> None:
    """Deletes a recurring run; one that is gone by now is no error.

    Args:
        api: Where.
        identifier: Its id.
    """
    service = api.client.recurring_runs
    with explained("delete the recurring run", "SCHEDULE"):
        try:
            api.read(service.recurring_run_service_delete_recurring_run, identifier)
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise


def view(api: KubeflowApi, recurring_run: Any) -> ScheduleView:
    """Reads a recurring run.

    Args:
        api: Where; its runs are counted there.
        recurring_run: As the service answers it.

    Returns:
        What people want to see of it.
    """
    identifier = str(recurring_run.recurring_run_id)
    trigger = recurring_run.trigger and recurring_run.trigger.cron_schedule
    config = recurring_run.runtime_config
    parameters = (config and config.parameters) or {}
    count = runs.count_of(api, identifier)
    return ScheduleView(
        name=identifier,
        display_name=recurring_run.display_name or "",
        state=_state(recurring_run, trigger),
        cron=(trigger and trigger.cron) or "",
        next_run=None,
        start=_time(trigger and trigger.start_time),
        end=_time(trigger and trigger.end_time),
        runs=f"{count} of any number",
        account=recurring_run.service_account or "",
        model=str(parameters.get("model_display_name", "")),
        parent=str(parameters.get("parent_model", "")),
        content={**_content(api, recurring_run), "started_run_count": count},
    )


def _content(api: KubeflowApi, recurring_run: Any) -> dict[str, Any]:
    client = api.client.recurring_runs
    sanitize = client.recurring_run_service_get_recurring_run.__self__.api_client
    content: dict[str, Any] = sanitize.sanitize_for_serialization(recurring_run)
    # The compiled pipeline, thousands of lines.
    content.pop("pipeline_spec", None)
    return content


def _state(recurring_run: Any, trigger: Any) -> str:
    end = _time(trigger and trigger.end_time)
    if end and end <= datetime.now(UTC):
        return "completed"
    return "active" if recurring_run.status == _ENABLED else "paused"


def _time(time: datetime | None) -> datetime | None:
    """The service writes 1970 for a time that was not given."""
    return time if time and time.year > datetime.fromtimestamp(0, UTC).year else None


def _named(api: KubeflowApi, call: Callable[..., Any], name: str) -> Iterator[Any]:
    """Lists the recurring runs of a name, the oldest first."""
    found = list_all(_ask(api, call), predicate("display_name", name), sort_by="created_at")
    return (one for one in found if one.display_name == name)


def _ask(api: KubeflowApi, call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **options: call(
        api.client.recurring_runs.recurring_run_service_list_recurring_runs,
        **api.namespaced,
        **options,
    )


def _name_is_taken(name: str, other: Any) -> Problem:
    identifier = other.recurring_run_id
    cron = other.trigger and other.trigger.cron_schedule and other.trigger.cron_schedule.cron
    return Problem(
        f"another schedule is called {name!r} ({identifier}, {cron}).",
        "--name",
        fix=f"Give another name, or first: kfp-llm-tuning schedule delete {identifier}",
    )
