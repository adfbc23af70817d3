"""ScheduleService: schedules that start pipeline jobs when the server's clock is advanced."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Backend, Call, handles, require
from tests.vertex.services import checks, generic, pipelines
from tests.vertex.services.cron import next_time, times_between
from tests.vertex.services.pipeline_checks import check_job

Schedule = aiplatform_v1.Schedule.pb()
State = aiplatform_v1.Schedule.State

_INSTANT = timedelta(microseconds=1)


def attach(backend: Backend) -> None:
    """Let the schedules of a backend follow its clock and the ends of its jobs."""
    backend.clock.add_timer(
        lambda until: _next_due(backend, until), lambda at: _fire_due(backend, at)
    )
    backend.job_end_listeners.append(lambda _: _drain_all(backend))


@handles("ScheduleService.CreateSchedule")
def create_schedule(call: Call, request: Any) -> Message:
    """Check a schedule and store it, active."""
    checks.check_parent(call, request.parent)
    schedule = request.schedule
    require(request, "schedule.display_name", "schedule.cron")
    _check(call, request.parent, schedule)
    if not schedule.HasField("start_time"):
        schedule.start_time.CopyFrom(call.backend.clock.timestamp())
    schedule.state = State.ACTIVE
    _set_next_run(schedule, after=_first_moment(call.backend, schedule))
    name = generic.new_name(call, request, "schedule", "schedules")
    generic.add(call, name, schedule)
    return call.store.fetch(name, Schedule)


@handles("ScheduleService.UpdateSchedule")
def update_schedule(call: Call, request: Any) -> Message:
    """Change a schedule; its next run is computed anew."""
    schedule = call.store.fetch(request.schedule.name, Schedule)
    if schedule.state == State.COMPLETED:
        raise errors.failed_precondition(f"The schedule {schedule.name} is completed.")
    generic.merge(schedule, request.schedule, request.update_mask)
    _check(call, schedule.name.rsplit("/", 2)[0], schedule)
    if schedule.state == State.ACTIVE:
        _set_next_run(schedule, after=_first_moment(call.backend, schedule))
    generic.save(call, schedule)
    return call.store.fetch(schedule.name, Schedule)


@handles("ScheduleService.PauseSchedule")
def pause_schedule(call: Call, request: Any) -> Message:
    """Start no more runs until it is resumed."""
    schedule = _in_state(call, request.name, State.ACTIVE)
    schedule.state = State.PAUSED
    schedule.last_pause_time.CopyFrom(call.backend.clock.timestamp())
    schedule.ClearField("next_run_time")
    generic.save(call, schedule)
    return Empty()


@handles("ScheduleService.ResumeSchedule")
def resume_schedule(call: Call, request: Any) -> Message:
    """Start runs again; with catch_up also those that were missed."""
    backend = call.backend
    schedule = _in_state(call, request.name, State.PAUSED)
    now = backend.clock.now()
    schedule.state = State.ACTIVE
    schedule.catch_up = request.catch_up
    schedule.last_resume_time.FromDatetime(now)
    if request.catch_up:
        paused = max(_time(schedule.last_pause_time), _time(schedule.start_time))
        missed = times_between(schedule.cron, paused, min(now, _end(schedule)))
        backend.queued_runs.setdefault(schedule.name, []).extend(missed)
    _set_next_run(schedule, after=_first_moment(backend, schedule))
    generic.save(call, schedule)
    _drain(backend, schedule.name)
    return Empty()


@handles("ScheduleService.DeleteSchedule")
def delete_schedule(call: Call, request: Any) -> Message:
    """Delete a schedule; its runs go on."""
    answer = generic.delete(call, request)
    call.backend.queued_runs.pop(request.name, None)
    return answer


def _next_due(backend: Backend, until: datetime) -> datetime | None:
    due = [_time(item.next_run_time) for item in _active(backend)]
    return min((time for time in due if time <= until), default=None)


def _fire_due(backend: Backend, at: datetime) -> None:
    with backend.store.lock:
        for schedule in _active(backend):
            if _time(schedule.next_run_time) <= at:
                _fire(backend, schedule, _time(schedule.next_run_time))


def _fire(backend: Backend, schedule: Any, at: datetime) -> None:
    """Start the run of a time, or queue or skip it when too many are active."""
    queue = backend.queued_runs.setdefault(schedule.name, [])
    if _has_place(backend, schedule) or schedule.allow_queueing:
        queue.append(at)
    else:
        _note_response(schedule, at, "Skipped: max_concurrent_run_count runs are active.")
    _set_next_run(schedule, after=at)
    backend.store.put(schedule.name, schedule)
    _drain(backend, schedule.name)


def _drain_all(backend: Backend) -> None:
    with backend.store.lock:
        for name in list(backend.queued_runs):
            _drain(backend, name)


def _drain(backend: Backend, name: str) -> None:
    """Start queued runs while there is place for them."""
    queue = backend.queued_runs.get(name, [])
    schedule = backend.store.get(name)
    while queue and schedule is not None and _has_place(backend, schedule):
        _start_run(backend, schedule, queue.pop(0))
        schedule = backend.store[name]


def _start_run(backend: Backend, schedule: Any, at: datetime) -> None:
    method = backend.registry.find("PipelineService", "CreatePipelineJob")
    if method is None:
        raise AssertionError("every SDK has CreatePipelineJob")
    request = copy.deepcopy(schedule.create_pipeline_job_request)
    spec = request.pipeline_job.pipeline_spec
    pipeline = spec["pipelineInfo"]["name"] if "pipelineInfo" in spec else "scheduled"
    request.pipeline_job_id = f"{request.pipeline_job_id or pipeline}-{at:%Y%m%d%H%M%S}"
    try:
        pipelines.submit(Call(backend, method), request, schedule.name)
    except errors.ApiError as error:
        _note_response(schedule, at, f"{error.code.name}: {error.message}")
    else:
        schedule.started_run_count += 1
        _note_response(schedule, at, "OK")
    _complete_when_done(schedule)
    backend.store.put(schedule.name, schedule)


def _has_place(backend: Backend, schedule: Any) -> bool:
    limit = schedule.max_concurrent_active_run_count or schedule.max_concurrent_run_count
    jobs: list[Any] = backend.store.of_collection("pipelineJobs")
    active = [
        job
        for job in jobs
        if job.schedule_name == schedule.name and job.state not in pipelines.FINAL_STATES
    ]
    is_complete = 0 < schedule.max_run_count <= schedule.started_run_count
    return len(active) < limit and not is_complete


def _note_response(schedule: Any, at: datetime, response: str) -> None:
    schedule.last_scheduled_run_response.scheduled_run_time.FromDatetime(at)
    schedule.last_scheduled_run_response.run_response = response


def _set_next_run(schedule: Any, after: datetime) -> None:
    schedule.next_run_time.FromDatetime(next_time(schedule.cron, after))
    _complete_when_done(schedule)


def _complete_when_done(schedule: Any) -> None:
    if schedule.state != State.ACTIVE:
        return
    is_over = _time(schedule.next_run_time) > _end(schedule)
    if is_over or 0 < schedule.max_run_count <= schedule.started_run_count:
        schedule.state = State.COMPLETED
        schedule.ClearField("next_run_time")


def _first_moment(backend: Backend, schedule: Any) -> datetime:
    """The moment after which the next run is to be: a run exactly at start_time counts."""
    return max(_time(schedule.start_time) - _INSTANT, backend.clock.now())


def _check(call: Call, parent: str, schedule: Any) -> None:
    next_time(schedule.cron, call.backend.clock.now())
    if schedule.max_concurrent_run_count < 1:
        raise errors.invalid("Required field schedule.max_concurrent_run_count is not set.")
    if schedule.max_run_count < 0:
        raise errors.invalid("schedule.max_run_count must not be negative.")
    if schedule.WhichOneof("request") != "create_pipeline_job_request":
        raise errors.invalid("Required field schedule.create_pipeline_job_request is not set.")
    if schedule.HasField("end_time"):
        start = max(_time(schedule.start_time), call.backend.clock.now())
        if _end(schedule) <= start:
            raise errors.invalid("schedule.end_time must be after start_time and in the future.")
    request = schedule.create_pipeline_job_request
    canonical = call.backend.project_facts.canonical_name
    if canonical(request.parent) != canonical(parent):
        raise errors.invalid(
            f"schedule.create_pipeline_job_request.parent must be {parent}, not {request.parent!r}."
        )
    check_job(call, copy.deepcopy(request.pipeline_job))


def _in_state(call: Call, name: str, state: Any) -> Any:
    checks.check_project(call, name)
    schedule = call.store.fetch(name, Schedule)
    if schedule.state != state:
        raise errors.failed_precondition(
            f"The schedule {name} is {State(schedule.state).name}, not {state.name}."
        )
    return schedule


def _active(backend: Backend) -> list[Any]:
    schedules: list[Any] = backend.store.of_collection("schedules")
    return [item for item in schedules if item.state == State.ACTIVE]


def _end(schedule: Any) -> datetime:
    if not schedule.HasField("end_time"):
        return datetime.max.replace(tzinfo=UTC)
    return _time(schedule.end_time)


def _time(stamp: Any) -> datetime:
    found: datetime = stamp.ToDatetime(tzinfo=UTC)
    return found
