from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from google.cloud import aiplatform_v1

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.components.upload import vertex_tensorboard
from kfp_llm_tuning.components.upload.vertex_platform import show_curves
from kfp_llm_tuning.components.upload.vertex_tensorboard import Point
from tests.components.upload.vertex_tasks import LOCATION, PARENT, curves_task
from tests.vertex.local_vertex import LocalVertex

EXPERIMENT = "large-language-model-tuner-77-88"
# Event files hold 32-bit floats.
TRAIN = [float(np.float32(4.1 / step)) for step in (1, 2, 3)]
EVALUATION = [float(np.float32(5.3 / step)) for step in (1, 2, 3)]


@pytest.fixture
def client(vertex_server: LocalVertex) -> aiplatform_v1.TensorboardServiceClient:
    return Vertex(vertex_server.project, LOCATION).client(aiplatform_v1.TensorboardServiceClient)


@pytest.fixture
def board(client: aiplatform_v1.TensorboardServiceClient) -> str:
    """A TensorBoard."""
    board = aiplatform_v1.Tensorboard(display_name="board")
    name: str = client.create_tensorboard(parent=PARENT, tensorboard=board).result().name
    return name


def read_back(
    client: aiplatform_v1.TensorboardServiceClient, board: str
) -> dict[str, list[tuple[int, float, float]]]:
    """Every curve of the experiment: tag -> step, time, value."""
    (run,) = client.list_tensorboard_runs(parent=f"{board}/experiments/{EXPERIMENT}")
    return {
        series.display_name: [
            (point.step, point.wall_time.timestamp(), point.scalar.value)
            for point in client.read_tensorboard_time_series_data(
                tensorboard_time_series=series.name
            ).time_series_data.values
        ]
        for series in client.list_tensorboard_time_series(parent=run.name)
    }


def test_every_value_arrives_once(
    vertex_server: LocalVertex,
    client: aiplatform_v1.TensorboardServiceClient,
    board: str,
    tmp_path: Path,
) -> None:
    for _ in range(2):
        address = show_curves(curves_task(vertex_server, tmp_path, board))
    assert address == (
        f"https://{LOCATION}.tensorboard.googleusercontent.com/experiment/"
        f"{board.replace('/', '+')}+experiments+{EXPERIMENT}"
    )
    times = [1_700_000_000.25 + step for step in (1, 2, 3)]
    assert read_back(client, board) == {
        "/train_total_loss": list(zip((1, 2, 3), times, TRAIN, strict=True)),
        "/eval_total_loss": list(zip((1, 2, 3), times, EVALUATION, strict=True)),
    }
    assert len(list(client.list_tensorboard_experiments(parent=board))) == 1


def test_by_id(vertex_server: LocalVertex, board: str, tmp_path: Path) -> None:
    task = curves_task(vertex_server, tmp_path, board.rpartition("/")[2])
    assert board.replace("/", "+") in show_curves(task)


def test_many_values_take_several_requests(
    vertex_server: LocalVertex,
    client: aiplatform_v1.TensorboardServiceClient,
    board: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vertex_tensorboard, "_VALUES_IN_A_REQUEST", 4)
    points = [Point(step, 1.0, step / 7) for step in range(10)]
    vertex = Vertex(vertex_server.project, LOCATION, vertex_server.rest_url)
    vertex_tensorboard.upload_curves(vertex, board, EXPERIMENT, {"/loss": points})
    assert [value for _, _, value in read_back(client, board)["/loss"]] == [
        point.value for point in points
    ]
    written = [call for call in vertex_server.requests if "WriteTensorboardRunData" in call.method]
    assert len(written) == 3


def test_names_that_are_no_ids(
    vertex_server: LocalVertex, client: aiplatform_v1.TensorboardServiceClient, board: str
) -> None:
    vertex = Vertex(vertex_server.project, LOCATION)
    curves = {"/Loss": [Point(1, 1.0, 0.5)], "loss": [Point(1, 1.0, 0.25)]}
    for name in ("My Tuning", "my tuning"):
        vertex_tensorboard.upload_curves(vertex, board, name, curves)
    there = client.list_tensorboard_experiments(parent=board)
    assert sorted(experiment.display_name for experiment in there) == ["My Tuning", "my tuning"]


@pytest.mark.parametrize(
    ("tensorboard", "message"),
    [
        ("projects/p/locations/europe-west4/tensorboards/1", "no TensorBoard in the pipeline's"),
        ("tensorboards/1", "no TensorBoard in the pipeline's"),
        ("404", "could not make the experiment .*/tensorboards/404/.*not found"),
    ],
)
def test_mistakes(
    vertex_server: LocalVertex, tmp_path: Path, tensorboard: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        show_curves(curves_task(vertex_server, tmp_path, tensorboard))
    assert caught.value.problems[0].where == "tensorboard_id"


def test_no_curves(vertex_server: LocalVertex, board: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    task = dataclasses.replace(curves_task(vertex_server, tmp_path, board), metrics_directory=empty)
    with pytest.raises(UserError, match="no curves in"):
        show_curves(task)
