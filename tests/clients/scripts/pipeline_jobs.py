"""What users of google-cloud-aiplatform do with jobs: submit, get, wait, list, cancel, delete."""

import json
import sys

from google.api_core.exceptions import InvalidArgument
from google.cloud import aiplatform

project, template = sys.argv[1:]
LOCATION = "us-central1"
LABELS = {"team": "support"}
aiplatform.init(project=project, location=LOCATION, staging_bucket="gs://staging")


def new_job(name: str, **parameters: object) -> aiplatform.PipelineJob:
    return aiplatform.PipelineJob(
        display_name=name,
        job_id=f"job-{name}",
        template_path=template,
        parameter_values={
            "project": project,
            "model_display_name": name,
            "dataset_uri": "gs://staging/train.jsonl",
            "large_model_reference": "byte-tiny",
            **parameters,
        },
        labels=LABELS,
        enable_caching=False,
    )


def submitted(name: str) -> aiplatform.PipelineJob:
    job = new_job(name, train_steps=20, learning_rate_multiplier=0.5)
    job.submit(service_account="tuner@test-project.iam.gserviceaccount.com")
    return job


def error_of(action, *arguments, **options) -> str:
    try:
        action(*arguments, **options)
    except (InvalidArgument, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def names(**options: object) -> list[str]:
    return [job.display_name for job in aiplatform.PipelineJob.list(**options)]


succeeding, failing, cancelled = map(submitted, ("succeeding", "failing", "cancelled"))
got = aiplatform.PipelineJob.get(succeeding.resource_name)
cancelled.cancel()
cancelled.wait()
succeeding.wait()
failure = error_of(failing.wait)
report = {
    "resource_name": succeeding.resource_name,
    "got": [got.display_name, dict(got.labels), got.gca_resource.service_account],
    "parameters": dict(got.runtime_config.parameter_values),
    "states": [job.state.name for job in (succeeding, failing, cancelled)],
    "tasks": sorted({task.task_name for task in succeeding.task_details}),
    "failure": failure,
    "all": names(order_by="create_time"),
    "all_newest_first": names(order_by="create_time desc"),
    "by_display_name": names(filter='display_name="failing"'),
    "by_state": names(filter='state="PIPELINE_STATE_CANCELLED"'),
    "by_label": names(filter="labels.team=support", order_by="create_time"),
    "by_pipeline_name": names(filter='pipeline_name:"tune-large*"', order_by="create_time"),
    "unknown_parameter": error_of(new_job, "unknown", accelerator="GPU"),
    "wrong_type": error_of(new_job("wrong-type", train_steps="many").submit),
}
failing.delete()
report["after_delete"] = names(order_by="create_time")
print(json.dumps(report))
