"""Tests of pipeline jobs, as the SDK and raw clients see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from google.api_core import exceptions
from google.cloud import aiplatform, aiplatform_v1

from tests.vertex.local_vertex import LocalVertex
from tests.vertex.runner_protocol import Artifact, Event, job_uuid, task_uuid

NewJob = Callable[..., aiplatform.PipelineJob]
State = aiplatform_v1.PipelineState
TaskState = aiplatform_v1.PipelineTaskDetail.State


def _post(vertex: LocalVertex, body: dict[str, Any], **query: str) -> tuple[int, dict[str, Any]]:
    url = f"{vertex.rest_url}/v1/{vertex.parent}/pipelineJobs"
    answer = requests.post(url, json=body, params=query, timeout=10)
    return answer.status_code, answer.json()


def _body(template: Path, **parameters: Any) -> dict[str, Any]:
    return {
        "displayName": "a demo",
        "pipelineSpec": yaml.load(template.read_text(), Loader=yaml.CSafeLoader),
        "runtimeConfig": {
            "gcsOutputDirectory": "gs://bucket/runs",
            "parameterValues": {"text": "hello", **parameters},
        },
    }


def test_submits_waits_and_succeeds(sdk: LocalVertex, new_job: NewJob) -> None:
    job = new_job(job_id="demo-1", labels={"team": "nlp"})
    job.submit()

    assert job.state == State.PIPELINE_STATE_PENDING
    assert job.labels["team"] == "nlp"
    assert job.resource_name == f"{sdk.parent}/pipelineJobs/demo-1"
    assert job.gca_resource.job_detail.pipeline_run_context.name
    sdk.report("demo-1", Event((), "RUNNING"))
    assert job.state == State.PIPELINE_STATE_RUNNING
    sdk.finish("demo-1")
    job.wait()
    assert job.state == State.PIPELINE_STATE_SUCCEEDED
    assert job.create_time <= job.gca_resource.start_time <= job.gca_resource.end_time


def test_a_failed_job_says_why(sdk: LocalVertex, new_job: NewJob) -> None:
    job = new_job()
    job.submit()
    sdk.report(job.name, Event(("say",), "RUNNING"))
    sdk.report(job.name, Event(("say",), "FAILED", error="no voice"))
    sdk.finish(job.name, "FAILED", "no voice")

    with pytest.raises(RuntimeError, match=r"failed tasks are: \[say\].*no voice"):
        job.wait()

    assert job.has_failed
    (task,) = [task for task in job.task_details if task.task_name == "say"]
    assert (task.state, task.error.message) == (TaskState.FAILED, "no voice")


def test_cancels_and_deletes(sdk: LocalVertex, new_job: NewJob) -> None:
    job = new_job()
    job.submit()
    with pytest.raises(exceptions.BadRequest, match="still active"):
        job.delete()
    sdk.report(job.name, Event(("say",), "RUNNING"))

    job.cancel()

    job.wait()
    assert job.state == State.PIPELINE_STATE_CANCELLED
    assert "cancelled" in job.gca_resource.error.message
    assert {task.state for task in job.task_details} == {TaskState.CANCELLED}
    with pytest.raises(exceptions.BadRequest, match="cannot be cancelled"):
        job.cancel()
    job.delete()
    assert sdk.resources("pipelineJobs") == []


def test_an_id_is_used_once(sdk: LocalVertex, new_job: NewJob) -> None:
    new_job(job_id="demo-1").submit()

    with pytest.raises(exceptions.Conflict, match="already exists"):
        new_job(job_id="demo-1").submit()


def test_lists_with_filters(sdk: LocalVertex, new_job: NewJob) -> None:
    for number, team in enumerate(["nlp", "nlp", "vision"]):
        new_job(job_id=f"demo-{number}", labels={"team": team}).submit()
    sdk.finish("demo-1")

    def listed(text: str) -> list[str]:
        return [job.name for job in aiplatform.PipelineJob.list(filter=text)]

    assert listed("") == ["demo-2", "demo-1", "demo-0"]
    assert listed('labels.team="nlp"') == ["demo-1", "demo-0"]
    assert listed('state="PIPELINE_STATE_SUCCEEDED" AND labels.team="nlp"') == ["demo-1"]
    assert listed('pipeline_name="demo" AND NOT state=PIPELINE_STATE_SUCCEEDED') == [
        "demo-2",
        "demo-0",
    ]
    (simple,) = aiplatform.PipelineJob.list(
        filter='pipeline_job_user_id="demo-1"', enable_simple_view=True
    )
    assert simple.gca_resource.runtime_config.gcs_output_directory == ""


def test_task_details_hold_what_clients_read(sdk: LocalVertex, new_job: NewJob) -> None:
    job = new_job(job_id="demo-1")
    job.submit()
    path = ("deployment-graph", "upload-llm-model")
    sdk.report("demo-1", Event((), "RUNNING", input_parameters={"text": "hello"}))
    sdk.report("demo-1", Event(path[:1], "RUNNING"))
    sdk.report("demo-1", Event(path, "RUNNING", input_parameters={"name": "m"}))
    sdk.report(
        "demo-1",
        Event(
            path,
            "SUCCEEDED",
            output_parameters={"model_resource_name": "models/1@1"},
            output_artifacts={"model": [Artifact("gs://bucket/m", "system.Model", {"size": 3})]},
        ),
    )
    sdk.finish("demo-1")

    tasks = {task.task_name: task for task in job.task_details}
    upload, root = tasks["upload-llm-model"], tasks["demo-1"]
    assert upload.execution.metadata["input:name"] == "m"
    assert upload.execution.metadata["output:model_resource_name"] == "models/1@1"
    assert upload.execution.schema_title == "system.ContainerExecution"
    assert upload.task_id == task_uuid(job.resource_name, path)
    assert upload.parent_task_id == tasks["deployment-graph"].task_id
    assert [status.state for status in upload.pipeline_task_status] == [
        TaskState.RUNNING,
        TaskState.SUCCEEDED,
    ]
    assert upload.create_time <= upload.start_time <= upload.end_time
    (model,) = upload.outputs["model"].artifacts
    assert (model.uri, model.schema_title, model.metadata["size"]) == (
        "gs://bucket/m",
        "system.Model",
        3,
    )
    assert tasks["deployment-graph"].execution.schema_title == "system.DagExecution"
    assert root.execution.schema_title == "system.Run"
    assert root.execution.metadata["input:text"] == "hello"
    (listed,) = aiplatform.PipelineJob.list()
    assert list(listed.gca_resource.job_detail.task_details) == []


def test_joins_an_experiment(sdk: LocalVertex, new_job: NewJob) -> None:
    job = new_job(job_id="demo-1")
    job.submit(experiment="trials")
    sdk.report("demo-1", Event((), "RUNNING", input_parameters={"text": "hello"}))
    metrics = Artifact("gs://bucket/metrics", "system.Metrics", {"loss": 0.5})
    sdk.report("demo-1", Event(("say",), "SUCCEEDED", output_artifacts={"metrics": [metrics]}))
    sdk.finish("demo-1")

    table = aiplatform.get_experiment_df("trials")
    fresh = aiplatform.PipelineJob.get(job.resource_name)

    assert table["run_name"].tolist() == ["demo-1"]
    assert table["param.text"].tolist() == ["hello"]
    assert table["metric.loss"].tolist() == [0.5]
    assert fresh.get_associated_experiment().name == "trials"


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"colour": "red"}, "parameter colour is not found"),
        ({"text": 3}, "parameter text must be of type STRING"),
        ({"number": "3"}, "parameter number must be of type NUMBER_INTEGER"),
        ({"number": 3.5}, "parameter number must be of type NUMBER_INTEGER"),
        ({"flag": "true"}, "parameter flag must be of type BOOLEAN"),
    ],
)
def test_refuses_bad_parameters(
    idle_vertex: LocalVertex, template: Path, parameters: dict[str, Any], problem: str
) -> None:
    status, answer = _post(idle_vertex, _body(template, **parameters))

    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert problem in answer["error"]["message"]


def test_refuses_missing_parameters(idle_vertex: LocalVertex, template: Path) -> None:
    body = _body(template)
    del body["runtimeConfig"]["parameterValues"]["text"]

    status, answer = _post(idle_vertex, body)

    assert status == 400
    assert "parameter text is required" in answer["error"]["message"]


def _without_root(body: dict[str, Any]) -> None:
    del body["pipelineSpec"]["root"]


def _unknown_field(body: dict[str, Any]) -> None:
    body["pipelineSpec"]["root"]["colour"] = "red"


def _unknown_component(body: dict[str, Any]) -> None:
    body["pipelineSpec"]["root"]["dag"]["tasks"]["say"]["componentRef"]["name"] = "comp-sing"


def _local_output(body: dict[str, Any]) -> None:
    body["runtimeConfig"]["gcsOutputDirectory"] = "/tmp/runs"


def _bad_label(body: dict[str, Any]) -> None:
    body["labels"] = {"Team": "NLP"}


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_without_root, "root are required"),
        (_unknown_field, 'no field named "colour"'),
        (_unknown_component, "no component 'comp-sing'"),
        (_local_output, "a gs:// URI is needed"),
        (_bad_label, "Invalid label 'Team'"),
    ],
)
def test_refuses_bad_jobs(
    idle_vertex: LocalVertex,
    template: Path,
    spoil: Callable[[dict[str, Any]], None],
    problem: str,
) -> None:
    body = _body(template)
    spoil(body)

    status, answer = _post(idle_vertex, body)

    assert status == 400
    assert problem in answer["error"]["message"]
    assert idle_vertex.resources("pipelineJobs") == []


def test_finds_the_template_of_a_uri(idle_vertex: LocalVertex, template: Path) -> None:
    idle_vertex.templates["https://us-kfp.pkg.dev/ml-pipeline/demo"] = template
    body = _body(template)
    del body["pipelineSpec"]
    body["templateUri"] = "https://us-kfp.pkg.dev/ml-pipeline/demo/v2.0.0"

    status, job = _post(idle_vertex, body)

    assert status == 200
    assert job["pipelineSpec"]["pipelineInfo"]["name"] == "demo"
    assert job["templateMetadata"]["version"] == "v2.0.0"
    body["templateUri"] = "https://us-kfp.pkg.dev/other"
    assert _post(idle_vertex, body)[0] == 404


def test_makes_ids_that_differ(idle_vertex: LocalVertex, template: Path) -> None:
    names = [_post(idle_vertex, _body(template))[1]["name"] for _ in range(3)]

    assert len(set(names)) == 3
    assert all("/pipelineJobs/demo-2" in name for name in names)
    assert _post(idle_vertex, _body(template), pipelineJobId="Bad_Id")[0] == 400


def test_labels_a_run_for_billing(idle_vertex: LocalVertex, template: Path) -> None:
    _, job = _post(idle_vertex, _body(template), pipelineJobId="demo-1")

    assert job["labels"]["vertex-ai-pipelines-run-billing-id"] == str(job_uuid(job["name"]))


def test_deletes_many(idle_vertex: LocalVertex, template: Path) -> None:
    names = [_post(idle_vertex, _body(template))[1]["name"] for _ in range(2)]
    url = f"{idle_vertex.rest_url}/v1/{idle_vertex.parent}/pipelineJobs"

    refused = requests.post(f"{url}:batchDelete", json={"names": names}, timeout=10)
    cancelled = requests.post(f"{url}:batchCancel", json={"names": names}, timeout=10)
    deleted = requests.post(f"{url}:batchDelete", json={"names": names}, timeout=10)

    assert (refused.status_code, cancelled.status_code, deleted.status_code) == (400, 200, 200)
    assert idle_vertex.resources("pipelineJobs") == []
