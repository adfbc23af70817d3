"""TensorboardService: what the uploader writes and readers read."""

from __future__ import annotations

from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Call, handles, require
from tests.vertex.services import checks, generic

Tensorboard = aiplatform_v1.Tensorboard.pb()
Run = aiplatform_v1.TensorboardRun.pb()
TimeSeries = aiplatform_v1.TensorboardTimeSeries.pb()
TimeSeriesData = aiplatform_v1.TimeSeriesData.pb()

_ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,127}"
_SERIES, _RUNS = "timeSeries", "runs"


@handles("TensorboardService.CreateTensorboard")
def create_tensorboard(call: Call, request: Any) -> Message:
    """Store a new TensorBoard, with a place for its blobs."""
    require(request, "tensorboard.display_name")
    request.tensorboard.blob_storage_path_prefix = f"cloud-ai-platform-{generic.new_number()}"
    return generic.create(call, request)


@handles("TensorboardService.CreateTensorboardExperiment")
def create_experiment(call: Call, request: Any) -> Message:
    """Store a new experiment under the caller's id."""
    return _create(call, request, "tensorboard_experiment", "experiments")


@handles("TensorboardService.CreateTensorboardRun")
def create_run(call: Call, request: Any) -> Message:
    """Store a new run under the caller's id."""
    _check_display_name(call, request.parent, _RUNS, Run, request.tensorboard_run)
    return _create(call, request, "tensorboard_run", _RUNS)


@handles("TensorboardService.CreateTensorboardTimeSeries")
def create_time_series(call: Call, request: Any) -> Message:
    """Store a new time series."""
    series = request.tensorboard_time_series
    require(request, "tensorboard_time_series.display_name", "tensorboard_time_series.value_type")
    _check_display_name(call, request.parent, _SERIES, TimeSeries, series)
    checks.check_parent(call, request.parent)
    name = generic.new_name(call, request, "tensorboard_time_series", _SERIES)
    generic.add(call, name, series)
    return call.store[name]


@handles("TensorboardService.BatchCreateTensorboardRuns")
def create_runs(call: Call, request: Any) -> Message:
    """Store several runs, all or none."""
    response = call.method.response()
    _check_parents(request, request.parent)
    _check_new(call, request, "tensorboard_run", _RUNS)
    response.tensorboard_runs.extend(create_run(call, item) for item in request.requests)
    return response


@handles("TensorboardService.BatchCreateTensorboardTimeSeries")
def create_many_time_series(call: Call, request: Any) -> Message:
    """Store several time series of the runs of an experiment."""
    response = call.method.response()
    for item in request.requests:
        if not item.parent.startswith(f"{request.parent}/runs/"):
            raise errors.invalid(f"{item.parent} is no run of {request.parent}.")
    created = [create_time_series(call, item) for item in request.requests]
    response.tensorboard_time_series.extend(created)
    return response


@handles("TensorboardService.WriteTensorboardExperimentData")
def write_experiment_data(call: Call, request: Any) -> Message:
    """Write points of several runs."""
    for item in request.write_run_data_requests:
        if not item.tensorboard_run.startswith(f"{request.tensorboard_experiment}/runs/"):
            raise errors.invalid(f"{item.tensorboard_run} is of another experiment.")
        write_run_data(call, item)
    return call.method.response()


@handles("TensorboardService.WriteTensorboardRunData")
def write_run_data(call: Call, request: Any) -> Message:
    """Write points of a run; a step that is written again replaces the old point."""
    call.store.fetch(request.tensorboard_run, Run)
    for data in request.time_series_data:
        require(data, "tensorboard_time_series_id")
        name = f"{request.tensorboard_run}/{_SERIES}/{data.tensorboard_time_series_id}"
        series = call.store.fetch(name, TimeSeries)
        if data.value_type not in (0, series.value_type):
            raise errors.invalid(f"value_type of {name} differs from that of the time series.")
        points = call.backend.time_series_points.setdefault(series.name, {})
        points.update({point.step: point for point in data.values})
        if points:
            series.metadata.max_step = max(points)
            series.metadata.max_wall_time.CopyFrom(points[max(points)].wall_time)
        generic.save(call, series)
    return call.method.response()


@handles("TensorboardService.ReadTensorboardTimeSeriesData")
def read_data(call: Call, request: Any) -> Message:
    """Read the points of a time series."""
    data = _data(call, request.tensorboard_time_series)
    response: Any = call.method.response()
    response.time_series_data.CopyFrom(data)
    return response


@handles("TensorboardService.BatchReadTensorboardTimeSeriesData")
def read_many(call: Call, request: Any) -> Message:
    """Read the points of several time series."""
    response: Any = call.method.response()
    response.time_series_data.extend(_data(call, name) for name in request.time_series)
    return response


@handles("TensorboardService.ExportTensorboardTimeSeriesData")
def export_data(call: Call, request: Any) -> Message:
    """Read the points of a time series, all on one page."""
    response: Any = call.method.response()
    data = _data(call, request.tensorboard_time_series)
    response.time_series_data_points.extend(data.values)
    return response


def _create(call: Call, request: Any, resource: str, collection: str) -> Message:
    require(request, f"{resource}_id")
    checks.check_parent(call, request.parent)
    name = generic.new_name(call, request, resource, collection, _ID_PATTERN)
    message = getattr(request, resource)
    message.display_name = message.display_name or name.rsplit("/", 1)[-1]
    generic.add(call, name, message)
    return call.store[name]


def _check_display_name(
    call: Call, parent: str, collection: str, kind: type[Message], resource: Any
) -> None:
    siblings: list[Any] = list(call.store.children(parent, collection, kind))
    if resource.display_name in {sibling.display_name for sibling in siblings}:
        raise errors.already_exists(f"{parent}/{collection} with name {resource.display_name!r}")


def _check_parents(request: Any, parent: str) -> None:
    for item in request.requests:
        if item.parent != parent:
            raise errors.invalid(f"The parent {item.parent} differs from {parent}.")


def _check_new(call: Call, request: Any, resource: str, collection: str) -> None:
    for item in request.requests:
        name = f"{request.parent}/{collection}/{getattr(item, f'{resource}_id')}"
        if name in call.store:
            raise errors.already_exists(name)


def _data(call: Call, name: str) -> Any:
    series = call.store.fetch(name, TimeSeries)
    points = call.backend.time_series_points.get(series.name, {})
    return TimeSeriesData(
        tensorboard_time_series_id=series.name.rsplit("/", 1)[-1],
        value_type=series.value_type,
        values=[points[step] for step in sorted(points)],
    )
