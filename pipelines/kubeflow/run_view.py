"""Reads what people want to see of a run: its tasks, times, what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kfp_llm_tuning.components.common.primary_metric import PrimaryMetric
from kfp_llm_tuning.pipelines.jobs.job import JobView, TaskView

_STATES = {
    "CANCELING": "cancelling",
    "CANCELED": "cancelled",
    "PAUSED": "pending",
    "RUNTIME_STATE_UNSPECIFIED": "pending",
}
# A task whose condition did not hold is skipped; what a failed one kept from running has no state.
_TASK_STATES = {**_STATES, "SKIPPED": "not_triggered"}
_OMITTED = "not_triggered"


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run besides what the service answers for it.

    Attributes:
        template: The pipeline's name.
        spec: The pipeline; empty where it is not known.
        errors: Why its tasks failed, by their names.
        model: Name of the registered model.
        endpoint: Name of its endpoint.
        note: What could not be found out.
        primary: The metric that its evaluation judged by.
        waiting: What keeps the pods of its tasks from starting, by the tasks' names.
    """

    template: str = ""
    spec: Mapping[str, Any] | None = None
    errors: Mapping[str, str] | None = None
    model: str = ""
    endpoint: str = ""
    note: str = ""
    primary: PrimaryMetric | None = None
    waiting: Mapping[str, str] | None = None


def view(run: Any, facts: RunFacts, ui: str) -> JobView:
    """Reads a run.

    Args:
        run: As the service answers it.
        facts: What else is known.
        ui: URL of the user interface.

    Returns:
        What people want to see of it.
    """
    return JobView(
        name=str(run.run_id),
        display_name=run.display_name or "",
        template=facts.template,
        state=state_of(run),
        created=_isoformat(run.created_at),
        seconds=_seconds(run.created_at, run.finished_at),
        model_display_name=str(parameters_of(run).get("model_display_name", "")),
        error=run.error.message if run.error else "",
        code=0,
        tasks=tuple(_tasks(run, facts)),
        model=facts.model,
        endpoint=facts.endpoint,
        console=run_url(ui, str(run.run_id)),
        note=facts.note,
        primary=facts.primary,
    )


def state_of(run: Any) -> str:
    """Says a run's state in our words: one that was terminated ends as one that failed."""
    state = str(run.state or "PENDING")
    was_terminated = any(one.state == "CANCELING" for one in run.state_history or [])
    if state == "FAILED" and was_terminated:
        return "cancelled"
    return _STATES.get(state, state.lower())


def parameters_of(run: Any) -> Mapping[str, Any]:
    """Gives a run's parameters."""
    return (run.runtime_config and run.runtime_config.parameters) or {}


def run_url(ui: str, run_id: str) -> str:
    """Writes the URL of a run's page; empty where there is no user interface."""
    return f"{ui}/#/runs/details/{run_id}" if ui else ""


def _tasks(run: Any, facts: RunFacts) -> Iterator[TaskView]:
    details = list((run.run_details and run.run_details.task_details) or [])
    details = [detail for detail in details if _is_task(detail.display_name, details, facts.spec)]
    details.sort(key=lambda detail: _time(detail.start_time) or datetime.max.replace(tzinfo=UTC))
    for detail in details:
        state = str(detail.state or _OMITTED)
        yield TaskView(
            name=detail.display_name,
            state=_TASK_STATES.get(state, state.lower()),
            seconds=_seconds(detail.start_time, detail.end_time),
            error=_error(detail, facts),
            waits_for=(facts.waiting or {}).get(detail.display_name, ""),
        )


def _error(detail: Any, facts: RunFacts) -> str:
    if detail.state != "FAILED":
        return ""
    told = (facts.errors or {}).get(detail.display_name, "")
    return told or (detail.error.message if detail.error else "") or "no reason was given."


def _is_task(name: str, details: list[Any], spec: Mapping[str, Any] | None) -> bool:
    """Tells a task from what else is called one: graphs, drivers and executors of tasks."""
    if spec:
        return name in set(leaves(spec))
    # Of a pipeline that is not known: whatever has a driver, graphs among them.
    names = {detail.display_name for detail in details}
    return name != "root" and f"{name}-driver" in names


def leaves(spec: Mapping[str, Any]) -> Iterator[str]:
    """Names the tasks of a pipeline that do something themselves.

    Args:
        spec: The pipeline.

    Yields:
        Their names.
    """
    components = spec.get("components", {})
    for component in (spec.get("root", {}), *components.values()):
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            if "dag" not in components.get(task.get("componentRef", {}).get("name"), {}):
                yield name


def _seconds(start: datetime | None, end: datetime | None) -> float:
    begun = _time(start)
    if not begun:
        return 0.0
    return max(0.0, ((_time(end) or datetime.now(UTC)) - begun).total_seconds())


def _isoformat(time: datetime | None) -> str:
    told = _time(time)
    return told.astimezone(UTC).isoformat(timespec="seconds") if told else ""


def _time(time: datetime | None) -> datetime | None:
    """The service writes 1970 for a time that has not come."""
    return time if time and time.year > datetime.fromtimestamp(0, UTC).year else None
