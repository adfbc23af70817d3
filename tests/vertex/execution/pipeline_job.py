"""What Vertex AI makes of a PipelineJob before its tasks begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.vertex.project_facts import ProjectFacts
from tests.vertex.runner_protocol import job_uuid

ParameterType = pipeline_spec_pb2.ParameterType


@dataclass(frozen=True)
class PipelineJob:
    """A PipelineJob that is to be run.

    Attributes:
        name: Its resource name.
        job_id: The end of its name.
        root: The folder of its artifacts, gs://...; without a slash at the end.
        labels: Of the run.
        spec: Of the pipeline; placeholders of the job are filled in, those of a task are not.
        arguments: Values of the pipeline's inputs.
        environment: What every task finds in its environment.
    """

    name: str
    job_id: str
    root: str
    labels: Mapping[str, str]
    spec: pipeline_spec_pb2.PipelineSpec
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> PipelineJob:
        """Reads the job's REST body.

        Args:
            body: The job, with its name and pipelineSpec.

        Returns:
            The job.
        """
        spec = without_waiting(fill_in(body["pipelineSpec"], _placeholders(body)))
        proto = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        _, project, _, location, _, job_id = body["name"].split("/")
        return cls(
            name=body["name"],
            job_id=job_id,
            root=body["runtimeConfig"]["gcsOutputDirectory"].rstrip("/"),
            labels=body.get("labels", {}),
            spec=proto,
            arguments=with_types(body["runtimeConfig"].get("parameterValues", {}), proto),
            environment={
                "CLOUD_ML_JOB_ID": str(job_uuid(body["name"])),
                "CLOUD_ML_PROJECT_ID": _project(project)[1],
                "CLOUD_ML_REGION": location,
            },
        )


def fill_in(value: Any, placeholders: Mapping[str, str]) -> Any:
    """Replaces placeholders in every string of a JSON value, at any depth.

    Args:
        value: The JSON value.
        placeholders: Their values, such as that of ``pipeline_root``.

    Returns:
        A copy with the values in their place.
    """
    if isinstance(value, str):
        for name, text in placeholders.items():
            value = value.replace("{{$." + name + "}}", text)
        return value
    if isinstance(value, list):
        return [fill_in(item, placeholders) for item in value]
    if isinstance(value, dict):
        return {name: fill_in(item, placeholders) for name, item in value.items()}
    return value


def _project(id_or_number: str) -> tuple[str, str]:
    return ProjectFacts().find(id_or_number) or (id_or_number, id_or_number)


def _placeholders(body: dict[str, Any]) -> dict[str, str]:
    name = body["name"]
    _, id_or_number, _, location, _, job_id = name.split("/")
    project, number = _project(id_or_number)
    runtime = body["runtimeConfig"]
    machines = runtime.get("defaultRuntime", {}).get("persistentResourceRuntimeDetail", {})
    created = body.get("createTime", "")
    return {
        "pipeline_google_cloud_project_id": project,
        "pipeline_google_cloud_location": location,
        "pipeline_service_account": body.get(
            "serviceAccount", f"{number}-compute@developer.gserviceaccount.com"
        ),
        "pipeline_network": body.get("network", ""),
        "pipeline_persistent_resource_id": machines.get("persistentResourceName", ""),
        "pipeline_encryption_key_name": body.get("encryptionSpec", {}).get("kmsKeyName", ""),
        "pipeline_job_uuid": str(job_uuid(name)),
        "pipeline_job_name": job_id,
        "pipeline_job_resource_name": name,
        "pipeline_root": runtime["gcsOutputDirectory"].rstrip("/"),
        "pipeline_job_create_time_utc": created,
        "pipeline_job_schedule_time_utc": created,
    }


def without_waiting(spec: Any) -> Any:
    """Lets failed tasks be tried again at once, for tests have no time."""
    if isinstance(spec, list):
        return [without_waiting(item) for item in spec]
    if not isinstance(spec, dict):
        return spec
    changed = {name: without_waiting(item) for name, item in spec.items()}
    if "retryPolicy" in changed:
        changed["retryPolicy"] = {**changed["retryPolicy"], "backoffDuration": "0s"}
    return changed


def with_types(values: Mapping[str, Any], spec: pipeline_spec_pb2.PipelineSpec) -> dict[str, Any]:
    """JSON has one type of number: those of integer inputs become integers again."""
    inputs = spec.root.input_definitions.parameters
    return {
        name: int(value) if inputs[name].parameter_type == ParameterType.NUMBER_INTEGER else value
        for name, value in values.items()
    }
