"""Makes the request of a pipeline job, checked before anything is sent."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.common.platforms import VERTEX
from kfp_llm_tuning.pipelines.requests import request_check
from kfp_llm_tuning.pipelines.requests.request import Request
from kfp_llm_tuning.pipelines.templates.template import TemplateSource, template_documents
from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings, settings_problems
from kfp_llm_tuning.pipelines.vertex.platform import vertex_platform

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import PipelineJob

    from kfp_llm_tuning.components.validation.pipeline_parameters import PipelineSettings


def pipeline_job_body(
    request: Request, settings: JobSettings, source: TemplateSource
) -> dict[str, Any]:
    """Makes the REST body of a pipeline job.

    Args:
        request: What to run, settled.
        settings: The rest of the job, settled.
        source: Where the pipeline spec comes from.

    Returns:
        The body of ``projects.locations.pipelineJobs.create``.

    Raises:
        UserError: With every problem of parameters, settings and template.
    """
    problems: list[Problem] = []
    parameters: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    try:
        parameters, _ = checked_parameters(request, settings)
    except UserError as error:
        problems += error.problems
    else:
        problems += settings_problems(settings, parameters)
    try:
        spec = job_spec(request, source)
    except UserError as error:
        problems += error.problems
    raise_all(problems)
    return _body(settings, parameters, spec)


def checked_parameters(
    request: Request, settings: JobSettings
) -> tuple[dict[str, Any], PipelineSettings]:
    """Checks the parameters as the pipeline's first task will.

    Args:
        request: What to run, settled.
        settings: The rest of the job, settled.

    Returns:
        The parameters given, each in its own type, and what follows from them.

    Raises:
        UserError: With every problem found.
    """
    place = {
        "platform": VERTEX.name,
        "pipeline_region": settings.region,
        "service_account": settings.service_account,
    }
    return request_check.checked_parameters(request, place)


def pipeline_job_message(body: Mapping[str, Any]) -> PipelineJob:
    """Parses a REST body into the message that gRPC sends.

    Args:
        body: From ``pipeline_job_body``.

    Returns:
        The message, of the API's version that knows all that the body has.

    Raises:
        UserError: If a part that a request gave as it is has unknown fields or wrong types.
    """
    from google.protobuf import json_format  # type: ignore[import-untyped]

    try:
        job: PipelineJob = api_of(body).PipelineJob.from_json(json.dumps(body))
    except json_format.ParseError as error:
        raise UserError(Problem(f"is no pipeline job: {error}", "--request")) from error
    return job


def api_version(body: Mapping[str, Any]) -> str:
    """Chooses the version of Vertex AI's API: persistent resources are in beta.

    Args:
        body: Of a job.

    Returns:
        v1 or v1beta1.
    """
    return "v1beta1" if "defaultRuntime" in body["runtimeConfig"] else "v1"


def api_of(body: Mapping[str, Any]) -> Any:
    """Imports the package of Google's clients that knows all that a job's body has.

    Args:
        body: Of a job.

    Returns:
        ``google.cloud.aiplatform_v1`` or its beta.
    """
    return importlib.import_module(f"google.cloud.aiplatform_{api_version(body)}")


def job_spec(request: Request, source: TemplateSource) -> dict[str, Any]:
    """Compiles or reads the pipeline spec of a job.

    Args:
        request: What to run.
        source: Where the template comes from.

    Returns:
        The spec.

    Raises:
        UserError: If a file is no template of ours or another one, or if images have no registry.
    """
    return template_documents(request.template, source, VERTEX.name, vertex_platform)[0]


def _body(
    settings: JobSettings, parameters: Mapping[str, Any], spec: Mapping[str, Any]
) -> dict[str, Any]:
    key = settings.encryption_key
    runtime: dict[str, Any] = {
        "gcsOutputDirectory": settings.pipeline_root,
        "parameterValues": dict(parameters),
    }
    if name := settings.persistent_resource_name:
        detail = {"persistentResourceName": name}
        runtime["defaultRuntime"] = {"persistentResourceRuntimeDetail": detail}
    body = {
        "displayName": settings.display_name,
        "labels": dict(settings.labels),
        "pipelineSpec": spec,
        "runtimeConfig": runtime,
        "encryptionSpec": {"kmsKeyName": key} if key else {},
        "serviceAccount": settings.service_account,
        "network": settings.network,
        "reservedIpRanges": list(settings.reserved_ip_ranges),
        "pscInterfaceConfig": dict(settings.psc_interface),
    }
    return {name: value for name, value in body.items() if value}
