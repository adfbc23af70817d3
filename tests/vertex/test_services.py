"""Tests of the smaller services: experiments, TensorBoard, custom jobs, datasets, Model Garden."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import aiplatform, aiplatform_v1

from tests.vertex.local_vertex import LocalVertex
from tests.vertex.runner_protocol import Event

_ENDPOINT = {"api_endpoint": "us-central1-aiplatform.googleapis.com"}
_TEXT_SCHEMA = "gs://google-cloud-aiplatform/schema/dataset/metadata/text_1.0.0.yaml"


def test_tracks_an_experiment(sdk: LocalVertex) -> None:
    board = aiplatform.Tensorboard.create(display_name="board")
    aiplatform.init(experiment="trials", experiment_tensorboard=board)

    with aiplatform.start_run("run-1"):
        aiplatform.log_params({"rate": 0.1})
        aiplatform.log_metrics({"loss": 0.5})
        aiplatform.log_time_series_metrics({"loss": 0.7}, step=1)
        aiplatform.log_time_series_metrics({"loss": 0.6}, step=2)
    table = aiplatform.get_experiment_df("trials").iloc[0].to_dict()

    assert (table["run_name"], table["state"]) == ("run-1", "COMPLETE")
    assert table["param.rate"] == 0.1
    assert table["metric.loss"] == 0.5
    assert table["time_series_metric.loss"] == 0.6


def test_notes_artifacts_and_executions(sdk: LocalVertex) -> None:
    data = aiplatform.Artifact.create(schema_title="system.Dataset", uri="gs://bucket/data")
    model = aiplatform.Artifact.create(schema_title="system.Model", uri="gs://bucket/model")

    with aiplatform.start_execution(
        schema_title="system.ContainerExecution", display_name="training"
    ) as execution:
        execution.assign_input_artifacts([data])
        execution.assign_output_artifacts([model])

    assert [item.uri for item in execution.get_input_artifacts()] == ["gs://bucket/data"]
    assert [item.uri for item in execution.get_output_artifacts()] == ["gs://bucket/model"]
    assert execution.state.name == "COMPLETE"
    found = aiplatform.Artifact.list(filter='uri="gs://bucket/model"')
    assert [item.resource_name for item in found] == [model.resource_name]


def test_makes_and_writes_time_series_in_batches(idle_vertex: LocalVertex) -> None:
    client = aiplatform_v1.TensorboardServiceClient(client_options=_ENDPOINT)
    board = client.create_tensorboard(
        parent=idle_vertex.parent, tensorboard={"display_name": "board"}
    ).result()
    experiment = client.create_tensorboard_experiment(
        parent=board.name, tensorboard_experiment_id="tuning"
    )
    runs = client.batch_create_tensorboard_runs(
        parent=experiment.name,
        requests=[
            {"parent": experiment.name, "tensorboard_run_id": name, "tensorboard_run": {}}
            for name in ("train", "eval")
        ],
    ).tensorboard_runs
    series = client.batch_create_tensorboard_time_series(
        parent=experiment.name,
        requests=[
            {
                "parent": run.name,
                "tensorboard_time_series": {"display_name": "loss", "value_type": "SCALAR"},
            }
            for run in runs
        ],
    ).tensorboard_time_series

    def write(step: int, value: float) -> None:
        data = {
            "tensorboard_time_series_id": series[0].name.rsplit("/", 1)[-1],
            "value_type": "SCALAR",
            "values": [{"step": step, "scalar": {"value": value}}],
        }
        client.write_tensorboard_experiment_data(
            tensorboard_experiment=experiment.name,
            write_run_data_requests=[{"tensorboard_run": runs[0].name, "time_series_data": [data]}],
        )

    write(2, 0.5)
    write(1, 0.9)
    write(2, 0.4)

    read = client.read_tensorboard_time_series_data(tensorboard_time_series=series[0].name)
    points = [(point.step, point.scalar.value) for point in read.time_series_data.values]
    assert points == [(1, 0.9), (2, 0.4)]
    stored = client.get_tensorboard_time_series(name=series[0].name)
    assert stored.metadata.max_step == 2
    with pytest.raises(exceptions.AlreadyExists):
        client.create_tensorboard_run(
            parent=experiment.name, tensorboard_run_id="train", tensorboard_run={}
        )
    client.delete_tensorboard(name=board.name).result()
    assert [name for name in idle_vertex.store if "/tensorboards/" in name] == []


def _custom_job(**pool: Any) -> dict[str, Any]:
    settings = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {"image_uri": "registry/image"},
        **pool,
    }
    return {"display_name": "tune", "job_spec": {"worker_pool_specs": [settings]}}


def test_custom_jobs_follow_their_events(sdk: LocalVertex) -> None:
    job = aiplatform.CustomJob(
        display_name="tune",
        worker_pool_specs=_custom_job()["job_spec"]["worker_pool_specs"],
        staging_bucket="gs://bucket",
    )
    job.submit()

    assert job.state.name == "JOB_STATE_PENDING"
    sdk.report(job.resource_name, Event((), "RUNNING"))
    assert job.state.name == "JOB_STATE_RUNNING"
    sdk.finish(job.resource_name, "FAILED", "out of memory")
    assert job.state.name == "JOB_STATE_FAILED"
    assert job.error.message == "out of memory"
    with pytest.raises(exceptions.BadRequest, match="has ended"):
        job.cancel()
    assert len(aiplatform.CustomJob.list(filter='state="JOB_STATE_FAILED"')) == 1


def test_cancels_custom_jobs(idle_vertex: LocalVertex) -> None:
    client = aiplatform_v1.JobServiceClient(client_options=_ENDPOINT)
    job = client.create_custom_job(parent=idle_vertex.parent, custom_job=_custom_job())

    client.cancel_custom_job(name=job.name)

    assert client.get_custom_job(name=job.name).state.name == "JOB_STATE_CANCELLED"
    client.delete_custom_job(name=job.name).result()
    assert idle_vertex.resources("customJobs") == []


@pytest.mark.parametrize(
    ("pool", "problem"),
    [
        ({"machine_spec": {}}, "machine_type"),
        ({"replica_count": 0}, "replica_count"),
        ({"container_spec": {}}, "image_uri"),
        (
            {"machine_spec": {"machine_type": "a", "accelerator_type": "NVIDIA_TESLA_T4"}},
            "accelerator_count",
        ),
    ],
)
def test_refuses_bad_custom_jobs(
    idle_vertex: LocalVertex, pool: dict[str, Any], problem: str
) -> None:
    client = aiplatform_v1.JobServiceClient(client_options=_ENDPOINT)

    with pytest.raises(exceptions.InvalidArgument, match=problem):
        client.create_custom_job(parent=idle_vertex.parent, custom_job=_custom_job(**pool))


def test_exports_what_was_imported(idle_vertex: LocalVertex) -> None:
    rows = [{"input_text": "a", "output_text": "b"}, {"input_text": "c", "output_text": "d"}]
    source = idle_vertex.storage_folder / "bucket" / "rows.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows))
    client = aiplatform_v1.DatasetServiceClient(client_options=_ENDPOINT)
    dataset = client.create_dataset(
        parent=idle_vertex.parent,
        dataset={"display_name": "rows", "metadata_schema_uri": _TEXT_SCHEMA, "metadata": {}},
    ).result()
    client.import_data(
        name=dataset.name, import_configs=[{"gcs_source": {"uris": ["gs://bucket/rows.jsonl"]}}]
    ).result()

    exported = client.export_data(
        name=dataset.name,
        export_config={"gcs_destination": {"output_uri_prefix": "gs://bucket/out"}},
    ).result()

    (uri,) = exported.exported_files
    assert uri.startswith("gs://bucket/out/")
    lines = (idle_vertex.storage_folder / uri.removeprefix("gs://")).read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    with pytest.raises(exceptions.InvalidArgument, match="bucket"):
        client.export_data(
            name=dataset.name,
            export_config={"gcs_destination": {"output_uri_prefix": "gs://nowhere/out"}},
        )


def test_knows_the_published_models(idle_vertex: LocalVertex) -> None:
    client = aiplatform_v1.ModelGardenServiceClient(client_options=_ENDPOINT)

    model = client.get_publisher_model(name="publishers/google/models/text-bison")

    assert model.predict_schemata.instance_schema_uri.endswith("text_generation_1.0.0.yaml")
    with pytest.raises(exceptions.NotFound):
        client.get_publisher_model(name="publishers/google/models/unknown")


def _google(verb: str, url: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    answer = requests.request(verb, f"https://{url}", json=body, timeout=10)
    return answer.status_code, answer.json()


def test_answers_what_is_known_of_the_project(idle_vertex: LocalVertex) -> None:
    facts = idle_vertex.project_facts
    facts.disabled_apis.add("compute.googleapis.com")
    facts.missing_permissions.add("aiplatform.models.upload")
    facts.service_accounts = {"tuner@test-project.iam.gserviceaccount.com"}
    services = "serviceusage.googleapis.com/v1/projects/test-project/services"
    accounts = "iam.googleapis.com/v1/projects/-/serviceAccounts"
    permissions = ["aiplatform.models.upload", "aiplatform.models.get"]

    resource_manager = "cloudresourcemanager.googleapis.com/v3/projects"
    assert _google("GET", f"{resource_manager}/1234")[1]["projectId"] == "test-project"
    assert _google("GET", f"{resource_manager}/other")[0] == 403
    granted = _google(
        "POST", f"{resource_manager}/test-project:testIamPermissions", {"permissions": permissions}
    )
    assert granted == (200, {"permissions": ["aiplatform.models.get"]})
    assert _google("GET", f"{services}/aiplatform.googleapis.com")[1]["state"] == "ENABLED"
    assert _google("GET", f"{services}/compute.googleapis.com")[1]["state"] == "DISABLED"
    assert _google("GET", f"{accounts}/tuner@test-project.iam.gserviceaccount.com")[0] == 200
    assert _google("GET", f"{accounts}/nobody@test-project.iam.gserviceaccount.com")[0] == 404
    assert _google("GET", "pubsub.googleapis.com/v1/projects/test-project/topics")[0] == 501


def test_tells_the_sdk_the_number_of_a_project(idle_vertex: LocalVertex) -> None:
    from google.cloud.aiplatform.utils import resource_manager_utils

    assert resource_manager_utils.get_project_number("test-project") == "1234"
    assert resource_manager_utils.get_project_id("1234") == "test-project"
