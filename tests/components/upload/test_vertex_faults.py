"""Every fault at every call of the tasks that make things on Vertex AI: done once, or told why not.

Each scenario names the calls that it makes, and is checked to make these and no others, so that a
new call cannot be left out.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import aiplatform_v1

from kfp_llm_tuning.components.common import custom_jobs
from kfp_llm_tuning.components.common import vertex as vertex_calls
from kfp_llm_tuning.components.common.custom_jobs import make_once
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.components.dataset.export import export_managed_dataset
from kfp_llm_tuning.components.upload import vertex_models
from kfp_llm_tuning.components.upload.vertex_evaluations import import_evaluation
from kfp_llm_tuning.components.upload.vertex_platform import deploy, show_curves, upload
from tests.components.upload.vertex_tasks import (
    IMAGE,
    LOCATION,
    PARENT,
    RUN,
    answer,
    curves_task,
    deploy_task,
    upload_task,
)
from tests.vertex import errors
from tests.vertex.local_vertex import LocalVertex

EARLIER = "an-earlier-run"
SIDES = {"base": {"accuracy": 0.25}, "tuned": {"accuracy": 0.75}}
_BROKEN = "the weights are broken"


@dataclass(frozen=True)
class Place:
    """Where a scenario is played."""

    server: LocalVertex
    folder: Path
    endpoint: str

    def upload(self, **changes: object) -> str:
        task = upload_task(self.server, self.folder, regional_endpoint=self.endpoint, **changes)
        return upload(task).model_resource_name

    def deploy(self, model: str, **changes: object) -> str:
        task = deploy_task(self.server, model, regional_endpoint=self.endpoint, **changes)
        return deploy(task).endpoint_resource_name


@dataclass(frozen=True)
class Scenario:
    """A task, what there is before it, and what there has to be after it.

    Attributes:
        calls: Every call that the task makes.
        before: Makes what the task needs; its result goes to the task.
        task: Does the task; its result is compared with that of a task without faults.
        made: How many resources of each kind there are after it.
    """

    calls: tuple[str, ...]
    before: Callable[[Place], Any]
    task: Callable[[Place, Any], str]
    made: dict[str, int]


def make_board(place: Place) -> str:
    client = Vertex(place.server.project, LOCATION).client(aiplatform_v1.TensorboardServiceClient)
    board = aiplatform_v1.Tensorboard(display_name="board")
    name: str = client.create_tensorboard(parent=PARENT, tensorboard=board).result().name
    return name


def make_dataset(place: Place) -> str:
    (place.server.storage_folder / "bucket" / "rows.jsonl").write_text('{"input_text": "a"}\n')
    client = Vertex(place.server.project, LOCATION).client(aiplatform_v1.DatasetServiceClient)
    dataset = aiplatform_v1.Dataset(
        display_name="rows",
        metadata_schema_uri="gs://google-cloud-aiplatform/schema/dataset/metadata/text_1.0.0.yaml",
        metadata={"inputConfig": {"gcsSource": {"uri": ["gs://bucket/rows.jsonl"]}}},
    )
    name: str = client.create_dataset(parent=PARENT, dataset=dataset).result().name
    return name


def make_deployed_model(place: Place) -> tuple[str, str]:
    """An endpoint with an earlier model, and a model that is not deployed yet."""
    earlier = place.upload(run_id=EARLIER)
    return place.deploy(earlier, run_id=EARLIER), place.upload()


def make_deployed_and_broken_model(place: Place) -> tuple[str, str]:
    """An endpoint with an earlier model that answers, and a model that does not."""
    place.server.predict_with(fail_in_this_run)
    return make_deployed_model(place)


def fail_in_this_run(model: dict[str, Any], instances: Any, parameters: Any) -> list[Any]:
    if model["labels"]["pipeline-run-id"] == RUN:
        raise errors.ApiError(grpc.StatusCode.INTERNAL, _BROKEN)
    return answer(model, instances, parameters)


def deploy_in_vain(place: Place, model: str, **changes: object) -> str:
    """Expects that the model does not answer and is undeployed again."""
    try:
        place.deploy(model, **changes)
    except UserError as error:
        if [_BROKEN in problem.what for problem in error.problems] != [True]:
            raise
    return "undeployed"


def make_two_versions(place: Place) -> None:
    """A parent, and two versions of it that the run made: an answer came too late once."""
    place.upload(run_id=EARLIER, parent_model="intents")
    version = place.upload(parent_model="intents")
    client = Vertex(place.server.project, LOCATION).client(aiplatform_v1.ModelServiceClient)
    twin = client.get_model(name=version)
    client.upload_model(request={"parent": PARENT, "parent_model": twin.name, "model": twin})


def start_job(place: Place) -> str:
    """Starts a custom job of two replicas, as the tuner's and the prediction's tasks do."""
    vertex = Vertex(place.server.project, LOCATION, place.endpoint)
    pool = {
        "machine_spec": {"machine_type": "e2-standard-4"},
        "replica_count": 1,
        "container_spec": {"image_uri": IMAGE},
    }
    job = {"display_name": "tuner", "job_spec": {"worker_pool_specs": [pool, pool]}}
    client = vertex.client(aiplatform_v1.JobServiceClient)
    return make_once(client, PARENT, job, "key-1").name


SCENARIOS = {
    "start a custom job": Scenario(
        calls=("JobService.ListCustomJobs", "JobService.CreateCustomJob"),
        before=lambda place: None,
        task=lambda place, _: start_job(place),
        made={"customJobs": 1},
    ),
    "upload": Scenario(
        calls=(
            "ModelService.GetModel",
            "ModelService.UploadModel",
            "Operations.GetOperation",
        ),
        before=lambda place: None,
        task=lambda place, _: place.upload(),
        made={"versions": 1},
    ),
    "upload, first of a parent": Scenario(
        calls=(
            "ModelService.ListModelVersions",
            "ModelService.GetModel",
            "ModelService.UploadModel",
            "Operations.GetOperation",
        ),
        before=lambda place: None,
        task=lambda place, _: place.upload(parent_model="intents"),
        made={"versions": 1},
    ),
    "upload, further version": Scenario(
        calls=(
            "ModelService.ListModelVersions",
            "ModelService.GetModel",
            "ModelService.UploadModel",
            "Operations.GetOperation",
        ),
        before=lambda place: place.upload(run_id=EARLIER, parent_model="intents"),
        task=lambda place, _: place.upload(parent_model="intents", version_aliases="champion"),
        made={"versions": 2},
    ),
    "upload, two versions of this run are there": Scenario(
        calls=(
            "ModelService.ListModelVersions",
            "ModelService.DeleteModelVersion",
            "Operations.GetOperation",
        ),
        before=make_two_versions,
        task=lambda place, _: place.upload(parent_model="intents"),
        made={"versions": 2},
    ),
    "import the evaluation": Scenario(
        calls=("ModelService.ListModelEvaluations", "ModelService.ImportModelEvaluation"),
        before=lambda place: place.upload(),
        task=lambda place, version: import_evaluation(
            Vertex(place.server.project, LOCATION, place.endpoint), version, RUN, SIDES, "accuracy"
        ),
        made={"versions": 1, "evaluated": 1},
    ),
    "deploy to an endpoint of its own": Scenario(
        calls=(
            "ModelService.GetModel",
            "EndpointService.GetEndpoint",
            "EndpointService.CreateEndpoint",
            "EndpointService.DeployModel",
            "Operations.GetOperation",
            "PredictionService.Predict",
        ),
        before=lambda place: place.upload(),
        task=lambda place, model: place.deploy(model),
        made={"versions": 1, "endpoints": 1, "deployments": 1},
    ),
    "deploy to a given endpoint": Scenario(
        calls=(
            "ModelService.GetModel",
            "EndpointService.GetEndpoint",
            "EndpointService.DeployModel",
            "Operations.GetOperation",
            "PredictionService.Predict",
        ),
        before=make_deployed_model,
        task=lambda place, given: place.deploy(given[1], endpoint=given[0], traffic_percentage=20),
        made={"versions": 2, "endpoints": 1, "deployments": 2},
    ),
    "deploy to a given endpoint, in vain": Scenario(
        calls=(
            "ModelService.GetModel",
            "EndpointService.GetEndpoint",
            "EndpointService.DeployModel",
            "Operations.GetOperation",
            "PredictionService.Predict",
            "EndpointService.UndeployModel",
        ),
        before=make_deployed_and_broken_model,
        task=lambda place, given: deploy_in_vain(place, given[1], endpoint=given[0]),
        made={"versions": 2, "endpoints": 1, "deployments": 1},
    ),
    "export": Scenario(
        calls=(
            "DatasetService.GetDataset",
            "DatasetService.ExportData",
            "Operations.ListOperations",
            "Operations.GetOperation",
        ),
        before=make_dataset,
        task=lambda place, dataset: export_managed_dataset(
            dataset, "", place.endpoint, f"gs://bucket/{dataset.rpartition('/')[2]}"
        ),
        made={"datasets": 1},
    ),
    "tensorboard": Scenario(
        calls=(
            "TensorboardService.GetTensorboardExperiment",
            "TensorboardService.CreateTensorboardExperiment",
            "TensorboardService.GetTensorboardRun",
            "TensorboardService.CreateTensorboardRun",
            "TensorboardService.ListTensorboardTimeSeries",
            "TensorboardService.BatchCreateTensorboardTimeSeries",
            "TensorboardService.WriteTensorboardRunData",
        ),
        before=make_board,
        task=lambda place, board: show_curves(curves_task(place.server, place.folder, board)),
        made={"tensorboards": 1, "experiments": 1, "runs": 1, "timeSeries": 2, "points": 6},
    ),
}
CALLS = [(name, call) for name, scenario in SCENARIOS.items() for call in scenario.calls]
# A deployment takes minutes: a request for it that is late by seconds comes before its end.
NEVER_LATE = [call for call in CALLS if "in vain" in call[0] and call[1].endswith("DeployModel")]
# What tells over REST: the answers of tasks that make and of tasks that find by label.
OVER_REST = (
    "upload, further version",
    "deploy to an endpoint of its own",
    "deploy to a given endpoint, in vain",
    "start a custom job",
)
# The kind of the fault, and whether the call took effect before it.
FAULTS = [
    *itertools.product(("unavailable", "internal", "quota", "reset"), (False, True)),
    ("duplicate", False),
]
CASES = [
    # The client takes it as it takes "unavailable".
    pytest.param(*call, *fault, marks=[pytest.mark.slow] if fault[0] == "internal" else [])
    for call, fault in itertools.product(CALLS, FAULTS)
    # A deployed model that answers so is broken.
    if (call[1], fault[0]) != ("PredictionService.Predict", "internal")
]


def made(server: LocalVertex) -> Counter[str]:
    """Counts what the server holds, by kind."""
    counts: Counter[str] = Counter()
    evaluated: set[str] = set()
    for name in server.store:
        kind = name.split("/")[-2]
        if kind == "evaluations":
            # None can be deleted: a request that is done twice leaves two that are the same.
            evaluated.add(name.rpartition("/evaluations/")[0])
            counts["evaluated"] = len(evaluated)
        elif kind == "customJobs":
            is_cancelled = server.store[name].state == aiplatform_v1.JobState.JOB_STATE_CANCELLED
            counts[kind] += not is_cancelled
        elif kind != "models":
            counts[kind] += 1
        elif "@" in name:
            counts["versions"] += 1
    for endpoint in server.resources("endpoints"):
        counts["deployments"] += len(endpoint.get("deployedModels", []))
        assert sum(endpoint.get("trafficSplit", {}).values()) in (0, 100)
    for series in server.resources("timeSeries"):
        counts["points"] += count_points(server, series["name"])
    return counts


def count_points(server: LocalVertex, series: str) -> int:
    client = Vertex(server.project, LOCATION).client(aiplatform_v1.TensorboardServiceClient)
    data = client.read_tensorboard_time_series_data(tensorboard_time_series=series)
    return len(data.time_series_data.values)


@pytest.fixture
def place(
    vertex_server: LocalVertex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_backoff: None
) -> Iterator[Place]:
    """An empty server that is called over gRPC."""
    monkeypatch.setattr(vertex_models, "_LATE_SECONDS", 0.0)
    monkeypatch.setattr(custom_jobs, "_LATE_SECONDS", 0.0)
    yield Place(vertex_server, tmp_path, f"https://{LOCATION}-aiplatform.googleapis.com/ui")
    vertex_server.faults.settle()


@pytest.fixture
def give_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow call is given up, and takes effect all the same while the task goes on."""
    monkeypatch.setattr(vertex_calls._request_timeout, "_timeout", 0.3)
    monkeypatch.setattr(vertex_models, "_LATE_SECONDS", 0.6)
    monkeypatch.setattr(custom_jobs, "_LATE_SECONDS", 0.6)


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_make_the_calls_that_they_name(place: Place, name: str) -> None:
    scenario = SCENARIOS[name]
    given = scenario.before(place)
    place.server.requests.clear()
    scenario.task(place, given)
    assert {call.method for call in place.server.requests} == set(scenario.calls)
    assert made(place.server) == scenario.made


def check_done_once(place: Place, name: str, call: str, **fault: Any) -> None:
    scenario = SCENARIOS[name]
    given = scenario.before(place)
    place.server.faults.inject(call, **fault)
    result = scenario.task(place, given)
    assert made(place.server) == scenario.made
    # The same task once more, as a pipeline repeats it.
    assert scenario.task(place, given) == result
    assert made(place.server) == scenario.made


@pytest.mark.parametrize(("name", "call", "kind", "after_commit"), CASES)
def test_done_once_whatever_goes_wrong(
    place: Place, name: str, call: str, kind: str, after_commit: bool
) -> None:
    check_done_once(place, name, call, kind=kind, after_commit=after_commit)
    assert place.server.faults.waiting == []


@pytest.mark.usefixtures("give_up_early")
@pytest.mark.parametrize(("name", "call"), [call for call in CALLS if call not in NEVER_LATE])
def test_done_once_although_the_answer_is_late(place: Place, name: str, call: str) -> None:
    check_done_once(place, name, call, kind="slow", seconds=0.5)


@pytest.mark.parametrize(
    ("name", "call", "kind", "after_commit"),
    [case for case in CASES if case.values[0] in OVER_REST],
)
def test_done_once_over_rest(
    place: Place, name: str, call: str, kind: str, after_commit: bool
) -> None:
    over_rest = dataclasses.replace(place, endpoint=place.server.rest_url)
    check_done_once(over_rest, name, call, kind=kind, after_commit=after_commit)
    assert place.server.faults.waiting == []


@pytest.mark.parametrize(
    ("name", "call", "kind"),
    [
        (*call, kind)
        for call in CALLS
        for kind in ("permission", "unavailable", "quota", "reset")
        # An account that may not ask a deployed model is told so, and has deployed it.
        if (call[1], kind) != ("PredictionService.Predict", "permission")
    ],
)
def test_what_never_succeeds_is_told_and_done_once_later(
    place: Place, name: str, call: str, kind: Any
) -> None:
    scenario = SCENARIOS[name]
    given = scenario.before(place)
    earlier = made(place.server)
    place.server.faults.inject(call, kind, times=10**6)
    with pytest.raises(UserError) as caught:
        scenario.task(place, given)
    for problem in caught.value.problems:
        assert problem.what.startswith("could not ")
    assert problem.fix
    place.server.faults.clear()
    # What is not undone yet may be there beside what has to be.
    undone = Counter(deployments=1) if "in vain" in name else Counter()
    assert made(place.server) <= Counter(scenario.made) + undone | earlier
    scenario.task(place, given)
    assert made(place.server) == scenario.made
