"""A job as people want to see it, read out of Vertex AI's answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud.aiplatform_v1.types import PipelineJob

from kfp_llm_tuning.pipelines.vertex.job_view import view

NAME = "projects/p/locations/us-central1/pipelineJobs/job-1"
START = datetime(2026, 1, 5, 9, tzinfo=UTC)


def task(number: int, name: str, state: str, parent: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "task_id": number,
        "parent_task_id": parent,
        "task_name": name,
        "state": state,
        "start_time": START + timedelta(seconds=number),
        "end_time": START + timedelta(seconds=number + 5),
        **more,
    }


def job(*tasks: dict[str, Any], **more: Any) -> PipelineJob:
    return PipelineJob(
        name=NAME,
        display_name="tune",
        state="PIPELINE_STATE_SUCCEEDED",
        create_time=START,
        start_time=START,
        end_time=START + timedelta(minutes=2),
        pipeline_spec={"pipelineInfo": {"name": "tune-large-model"}},
        runtime_config={"parameter_values": {"model_display_name": "router"}},
        job_detail={"task_details": tasks},
        **more,
    )


ROOT = task(1, "job-1", "SUCCEEDED", 0, execution={"schema_title": "system.Run"})


def test_what_is_said_of_a_job() -> None:
    seen = view(job(ROOT))
    assert (seen.id, seen.state, seen.template) == ("job-1", "succeeded", "tune-large-model")
    assert (seen.created, seen.seconds) == ("2026-01-05T09:00:00+00:00", 120.0)
    assert seen.model_display_name == "router"
    assert seen.ended
    assert seen.console.endswith("/locations/us-central1/pipelines/runs/job-1?project=p")


def test_graphs_are_left_out_and_tasks_are_in_order() -> None:
    seen = view(
        job(
            task(4, "tuner", "RUNNING", 2),
            ROOT,
            task(2, "tuning-graph", "RUNNING"),
            task(3, "validate", "SKIPPED", 2),
        )
    )
    assert [(one.name, one.state, one.seconds) for one in seen.tasks] == [
        ("validate", "skipped", 5.0),
        ("tuner", "running", 5.0),
    ]


def test_outputs_of_the_run() -> None:
    metadata = {"output:model_resource_name": "m@1", "output:endpoint_resource_name": "e"}
    root = {**ROOT, "execution": {"schema_title": "system.Run", "metadata": metadata}}
    assert (view(job(root)).model, view(job(root)).endpoint) == ("m@1", "e")


def test_the_metric_that_the_evaluation_judged_by() -> None:
    figures = {"primary_metric": "accuracy", "primary": 0.75, "base_primary": 0.25, "bleu": 50.0}
    outputs = {"metrics": {"artifacts": [{"metadata": figures}]}}
    evaluated = task(2, "evaluate-model", "SUCCEEDED", outputs=outputs)
    assert str(view(job(ROOT, evaluated)).primary) == "accuracy 0.75 (base 0.25)"
    assert view(job(ROOT, task(2, "evaluate-model", "SUCCEEDED"))).primary is None


def test_outputs_of_the_tasks_where_the_run_has_none() -> None:
    execution = {"metadata": {"output:model_resource_name": "m@1"}}
    seen = view(job(ROOT, task(2, "upload-llm-model", "SUCCEEDED", execution=execution)))
    assert (seen.model, seen.endpoint) == ("m@1", "")


def test_errors() -> None:
    error = {"code": 9, "message": "it broke"}
    seen = view(job(ROOT, task(2, "tuner", "FAILED", error=error), error=error))
    assert (seen.tasks[0].error, seen.tasks[0].code) == ("it broke", 9)
    assert (seen.error, seen.code) == ("it broke", 9)


def test_a_job_that_has_not_begun() -> None:
    seen = view(PipelineJob(name=NAME, state="PIPELINE_STATE_QUEUED"))
    assert (seen.state, seen.seconds, seen.tasks, seen.ended) == ("queued", 0.0, (), False)
    assert seen.as_json()["tasks"] == ()
