"""Uploads the tuner's curves to Vertex AI TensorBoard.

The SDK's own uploader needs TensorFlow. Every id follows from a name, and a value written again for
the same step takes the place of the first one, so an upload that is repeated changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.types import (
    CreateTensorboardTimeSeriesRequest,
    Scalar,
    TensorboardExperiment,
    TensorboardRun,
    TensorboardTimeSeries,
    TimeSeriesData,
    TimeSeriesDataPoint,
)

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.resource_paths import full_name
from kfp_llm_tuning.components.common.vertex import ONCE, READ, Vertex, ensure, found_or_none
from kfp_llm_tuning.components.common.vertex_errors import explained

# TensorBoard's name for a log directory that has no folders.
_RUN = "default"
# The service's limit for one request to write.
_VALUES_IN_A_REQUEST = 5000
_SCALAR = TensorboardTimeSeries.ValueType.SCALAR


@dataclass(frozen=True)
class Point:
    """One value of a curve.

    Attributes:
        step: Optimiser steps done.
        wall_time: When it was logged, in seconds since the epoch.
        value: The value.
    """

    step: int
    wall_time: float
    value: float


def read_curves(directory: Path) -> dict[str, list[Point]]:
    """Reads the event files of a folder.

    Args:
        directory: The folder.

    Returns:
        The points of each scalar tag, by step.

    Raises:
        UserError: If there are none.
    """
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    # 0: keep every value instead of a sample.
    events = EventAccumulator(str(directory), size_guidance={SCALARS: 0}).Reload()
    curves = {
        tag: [Point(event.step, event.wall_time, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()[SCALARS]
    }
    if not curves:
        raise UserError(
            Problem(
                f"no curves in {directory}.",
                "metrics_directory_uri",
                "a folder with TensorBoard event files",
            )
        )
    return curves


def upload_curves(
    vertex: Vertex, tensorboard: str, experiment_name: str, curves: dict[str, list[Point]]
) -> str:
    """Writes curves to an experiment, which is made where it is not there.

    Args:
        vertex: Where.
        tensorboard: The TensorBoard, ``projects/../tensorboards/ID``.
        experiment_name: The experiment.
        curves: The points of each tag.

    Returns:
        The web address of the experiment.

    Raises:
        UserError: If Vertex AI refuses.
    """
    client = vertex.client(aiplatform_v1.TensorboardServiceClient)
    experiment = _ensure_experiment(client, tensorboard, experiment_name)
    run = _ensure_run(client, experiment)
    series = _ensure_series(client, experiment, run, sorted(curves))
    with explained(f"write curves to {run}"):
        for batch in _batches(curves, series):
            client.write_tensorboard_run_data(tensorboard_run=run, time_series_data=batch, **READ)
    return web_address(experiment)


def web_address(experiment: str) -> str:
    """Gives the address where a browser shows an experiment.

    Args:
        experiment: ``projects/../tensorboards/ID/experiments/ID``.
    """
    parts = aiplatform_v1.TensorboardServiceClient.parse_tensorboard_experiment_path(experiment)
    host = f"{parts['location']}.tensorboard.googleusercontent.com"
    return f"https://{host}/experiment/{experiment.replace('/', '+')}"


def tensorboard_name(vertex: Vertex, tensorboard: str) -> str:
    """Completes and checks the name of a TensorBoard.

    Args:
        vertex: The project and region of the pipeline.
        tensorboard: Its id or its resource name.

    Returns:
        The resource name.

    Raises:
        UserError: If the TensorBoard is in another region.
    """
    full = full_name(tensorboard, "tensorboards", vertex.project, vertex.location)
    parts = aiplatform_v1.TensorboardServiceClient.parse_tensorboard_path(full)
    if parts.get("location") != vertex.location:
        raise UserError(
            Problem(
                f"{tensorboard} is no TensorBoard in the pipeline's region {vertex.location}.",
                "tensorboard_id",
                f"projects/PROJECT/locations/{vertex.location}/tensorboards/ID",
            )
        )
    return full


def _ensure_experiment(
    client: aiplatform_v1.TensorboardServiceClient, tensorboard: str, experiment_name: str
) -> str:
    identifier = _identifier(experiment_name)
    name = f"{tensorboard}/experiments/{identifier}"
    experiment: TensorboardExperiment = ensure(
        lambda: found_or_none(lambda: client.get_tensorboard_experiment(name=name, **ONCE)),
        lambda: client.create_tensorboard_experiment(
            parent=tensorboard,
            tensorboard_experiment=TensorboardExperiment(display_name=experiment_name),
            tensorboard_experiment_id=identifier,
            **ONCE,
        ),
        f"make the experiment {name}",
        "tensorboard_id",
    ).resource
    return experiment.name


def _ensure_run(client: aiplatform_v1.TensorboardServiceClient, experiment: str) -> str:
    name = f"{experiment}/runs/{_RUN}"
    run: TensorboardRun = ensure(
        lambda: found_or_none(lambda: client.get_tensorboard_run(name=name, **ONCE)),
        lambda: client.create_tensorboard_run(
            parent=experiment,
            tensorboard_run=TensorboardRun(display_name=_RUN),
            tensorboard_run_id=_RUN,
            **ONCE,
        ),
        f"make {name}",
        "tensorboard_id",
    ).resource
    return run.name


def _ensure_series(
    client: aiplatform_v1.TensorboardServiceClient,
    experiment: str,
    run: str,
    tags: Sequence[str],
) -> dict[str, str]:
    """Makes the series that are missing; gives the id of each tag's."""

    def existing() -> dict[str, str]:
        there = client.list_tensorboard_time_series(parent=run, **ONCE)
        return {series.display_name: series.name.rpartition("/")[2] for series in there}

    def find() -> dict[str, str] | None:
        there = existing()
        return there if set(tags) <= there.keys() else None

    def make() -> dict[str, str]:
        there = existing()
        missing = [_series_request(run, tag) for tag in tags if tag not in there]
        client.batch_create_tensorboard_time_series(parent=experiment, requests=missing, **ONCE)
        return existing()

    return ensure(find, make, f"make the curves of {run}", "tensorboard_id").resource


def _series_request(run: str, tag: str) -> CreateTensorboardTimeSeriesRequest:
    return CreateTensorboardTimeSeriesRequest(
        parent=run,
        tensorboard_time_series_id=_identifier(tag),
        tensorboard_time_series=TensorboardTimeSeries(
            display_name=tag, value_type=_SCALAR, plugin_name="scalars"
        ),
    )


def _batches(
    curves: dict[str, list[Point]], series: dict[str, str]
) -> Iterator[list[TimeSeriesData]]:
    size = _VALUES_IN_A_REQUEST
    for tag, points in curves.items():
        for start in range(0, len(points), size):
            yield [
                TimeSeriesData(
                    tensorboard_time_series_id=series[tag],
                    value_type=_SCALAR,
                    values=[_data_point(point) for point in points[start : start + size]],
                )
            ]


def _data_point(point: Point) -> TimeSeriesDataPoint:
    # Seconds and their fraction apart: their product is no exact float.
    seconds = int(point.wall_time)
    nanos = min(round((point.wall_time - seconds) * 10**9), 10**9 - 1)
    return TimeSeriesDataPoint(
        step=point.step,
        wall_time={"seconds": seconds, "nanos": nanos},
        scalar=Scalar(value=point.value),
    )


def _identifier(name: str) -> str:
    """Makes an id of [a-z0-9-]: the name itself where it is one, else with a digest behind."""
    legal = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if legal == name and len(legal) <= 128:
        return legal
    return f"{legal[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}".strip("-")
