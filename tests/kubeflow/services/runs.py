"""RunService: runs that execute for real, or whose states a test sets."""

from __future__ import annotations

import json
import random
import string
import uuid
from typing import Any

from tests.kubeflow.backend import Backend, Call, Message, Run, fetch, serves
from tests.kubeflow.errors import ApiError, internal, invalid
from tests.kubeflow.listing import list_page
from tests.kubeflow.messages import check, without_empty, write_time
from tests.kubeflow.services.experiments import experiment_of
from tests.kubeflow.specs import Package, check_parameters, read_struct
from tests.kubeflow.workflow import Workflow
from tests.vertex.runner_protocol import Event

_FIELDS = (
    "id", "run_id", "name", "display_name", "created_at", "finished_at", "description",
    "scheduled_at", "storage_state", "status", "namespace", "experiment_id", "state",
    "state_history", "recurring_run_id",
)  # fmt: skip
ACTIVE = ("PENDING", "RUNNING", "CANCELING")
# MySQL's columns, which the server does not check itself.
MAXIMAL_TEXT = 255
_SERVICE_ACCOUNT = "pipeline-runner"
# A run that was terminated ends as one that failed: only its history tells.
_FINAL_STATES = {"SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED", "CANCELLED": "FAILED"}


@serves("POST", "/apis/v2beta1/runs", "RunService.CreateRun")
def create_run(backend: Backend, call: Call) -> Message:
    """Check a run, store it and start it."""
    body = check(call.body, "V2beta1Run")
    if body.get("plugins_output"):
        raise invalid("plugins_output is server-owned")
    return _as_message(start_run(backend, body, package_of(backend, body)), with_tasks=False)


@serves("GET", "/apis/v2beta1/runs/{run_id}", "RunService.GetRun")
def get_run(backend: Backend, call: Call) -> Message:
    """Answer with a run and its tasks."""
    return _as_message(_fetch(backend, call), with_tasks=True)


@serves("GET", "/apis/v1beta1/runs/{run_id}", "RunService.GetRunV1")
def get_run_v1(backend: Backend, call: Call) -> Message:
    """Answer with a run's workflow, as the first version of the API does."""
    run = _fetch(backend, call)
    manifest = json.dumps(run.workflow.manifest())
    return {
        "run": {"id": run.message["run_id"], "name": run.message["display_name"]},
        "pipeline_runtime": {"workflow_manifest": manifest},
    }


@serves("GET", "/apis/v2beta1/runs", "RunService.ListRuns")
def list_runs(backend: Backend, call: Call) -> Message:
    """List the runs of an experiment or a namespace, without their tasks."""
    experiment = call.query.get("experiment_id", "")
    if experiment:
        experiment_of(backend, experiment, "")
    else:
        namespace = backend.namespace(call.query.get("namespace", ""))
    items = [
        run.message
        for run in backend.runs.values()
        if (
            run.message["experiment_id"] == experiment
            if experiment
            else run.message["namespace"] == namespace
        )
    ]
    page, size, token = list_page(items, call.query, _FIELDS, "run_id")
    return without_empty(
        {
            "runs": [_as_message(backend.runs[one["run_id"]], with_tasks=False) for one in page],
            "total_size": size,
            "next_page_token": token,
        }
    )


@serves("POST", "/apis/v2beta1/runs/{run_id}:terminate", "RunService.TerminateRun")
def terminate_run(backend: Backend, call: Call) -> Message:
    """Terminate a run that has not ended."""
    run = _fetch(backend, call)
    identifier = run.message["run_id"]
    if run.message["state"] not in ("PENDING", "RUNNING"):
        raise invalid(f"Failed to terminate a run {identifier}. Row not found")
    _set_state(backend, run, "CANCELING")
    if handle := backend.handles.get(identifier):
        handle.cancel()
    else:
        report(backend, identifier, Event((), "CANCELLED"))
    return {}


@serves("POST", "/apis/v2beta1/runs/{run_id}:archive", "RunService.ArchiveRun")
def archive_run(backend: Backend, call: Call) -> Message:
    """Archive a run."""
    _fetch(backend, call).message["storage_state"] = "ARCHIVED"
    return {}


@serves("POST", "/apis/v2beta1/runs/{run_id}:unarchive", "RunService.UnarchiveRun")
def unarchive_run(backend: Backend, call: Call) -> Message:
    """Take a run out of the archive."""
    _fetch(backend, call).message["storage_state"] = "AVAILABLE"
    return {}


@serves("DELETE", "/apis/v2beta1/runs/{run_id}", "RunService.DeleteRun")
def delete_run(backend: Backend, call: Call) -> Message:
    """Delete a run, which ends it."""
    identifier = _fetch(backend, call).message["run_id"]
    if handle := backend.handles.pop(identifier, None):
        handle.cancel()
    del backend.runs[identifier]
    return {}


def package_of(backend: Backend, body: Message) -> Package:
    """Find what a run or a recurring run is to run.

    Args:
        backend: The state.
        body: The run; gets the pipeline of its version.

    Returns:
        The pipeline.

    Raises:
        ApiError: it says none, or there is none: the server takes that for a failure of its own
            (500).
    """
    doing = "Failed to create a run due to error fetching manifest"
    reference = body.get("pipeline_version_reference") or {}
    try:
        if body.get("pipeline_spec"):
            return read_struct(body["pipeline_spec"])
        identifier = reference.get("pipeline_version_id", "")
        version = backend.versions.get(identifier)
        if version is None:
            raise invalid(f"PipelineVersion {identifier} not found")
    except ApiError as error:
        raise internal(error.text, doing) from error
    reference["pipeline_id"] = version.message["pipeline_id"]
    return version.package


def start_run(backend: Backend, body: Message, package: Package, recurring: str = "") -> Run:
    """Check a run's name, experiment and parameters, store it and start it.

    Args:
        backend: The state.
        body: The run.
        package: What it runs.
        recurring: The id of the recurring run that it is of.

    Returns:
        The run, pending.

    Raises:
        ApiError: it is refused.
    """
    if not body.get("display_name"):
        raise invalid("The run name is empty. Please specify a valid name")
    _check_lengths(body)
    experiment = experiment_of(backend, body.get("experiment_id", ""), "")
    parameters = (body.get("runtime_config") or {}).get("parameters") or {}
    check_parameters(package, parameters)
    now = backend.clock.now()
    message = {
        **{name: body.get(name) for name in ("display_name", "description", "runtime_config")},
        "run_id": str(uuid.uuid4()),
        "experiment_id": experiment["experiment_id"],
        "namespace": experiment["namespace"],
        "recurring_run_id": recurring,
        "storage_state": "AVAILABLE",
        "service_account": body.get("service_account") or _SERVICE_ACCOUNT,
        "created_at": write_time(now),
        "scheduled_at": write_time(now),
        "finished_at": write_time(None),
        "state": "PENDING",
        "state_history": [{"update_time": write_time(now), "state": "PENDING"}],
        **source_of(body),
    }
    experiment["last_run_created_at"] = write_time(now)
    suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=5))
    run = Run(message, package, Workflow(f"{package.name}-{suffix}", package))
    backend.runs[message["run_id"]] = run
    _execute(backend, run)
    return run


def report(backend: Backend, identifier: str, event: Event) -> None:
    """Take an event of a run.

    Args:
        backend: The state.
        identifier: The run.
        event: What happened.
    """
    with backend.lock:
        run = backend.runs.get(identifier)
        if run is None or run.message["state"] not in ACTIVE:
            return
        at = event.time or backend.clock.now()
        run.workflow.report(event, at)
        if event.path or event.state not in _FINAL_STATES:
            if run.message["state"] == "PENDING":
                _set_state(backend, run, "RUNNING")
            return
        _set_state(backend, run, _FINAL_STATES[event.state])
        run.message["finished_at"] = write_time(at)
        backend.handles.pop(identifier, None)
    for listener in backend.run_end_listeners:
        listener(identifier)


def source_of(body: Message) -> Message:
    """What a run says of its pipeline: a version's ids, or the pipeline itself."""
    names = ("pipeline_spec", "pipeline_version_reference")
    return {name: body[name] for name in names if body.get(name)}


def _fetch(backend: Backend, call: Call) -> Run:
    run: Run = fetch(backend.runs, "Run", call.path["run_id"])
    if backend.multi_user:
        backend.namespace(run.message["namespace"])
    return run


def _as_message(run: Run, with_tasks: bool) -> Message:
    message = {name: value for name, value in run.message.items() if name != "namespace"}
    details = run.workflow.task_details(message["run_id"]) if with_tasks else []
    return without_empty({**message, "run_details": {"task_details": details} if details else {}})


def _set_state(backend: Backend, run: Run, state: str) -> None:
    run.message["state"] = state
    history: list[Any] = run.message["state_history"]
    history.append({"update_time": write_time(backend.clock.now()), "state": state})


def _check_lengths(body: Message) -> None:
    for name in ("display_name", "description"):
        if len(body.get(name) or "") > MAXIMAL_TEXT:
            raise internal(f"Error 1406: Data too long for column {name!r}", "Failed to store run")


def _execute(backend: Backend, run: Run) -> None:
    if backend.start is None:
        return
    identifier = run.message["run_id"]
    backend.handles[identifier] = backend.start(
        run,
        backend.folder / identifier,
        lambda event: report(backend, identifier, event),
    )
