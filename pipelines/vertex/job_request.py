"""Makes the request of a pipeline job, checked before anything is sent."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.pipelines.parameters import TEMPLATES
from kfp_llm_tuning.pipelines.requests import Request
from kfp_llm_tuning.pipelines.vertex import template
from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings, settings_problems

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import PipelineJob

    from kfp_llm_tuning.components.validation.pipeline_parameters import PipelineSettings


@dataclass(frozen=True)
class TemplateSource:
    """Where the pipeline spec comes from.

    Attributes:
        image_registry: Where the images are; empty where the file says it.
        file: A compiled template; None to compile one on the spot.
        caching: Whether outputs of earlier runs may be reused where the template allows it.
    """

    image_registry: str = ""
    file: Path | None = None
    caching: bool = True


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
    from kfp_llm_tuning.components.validation.pipeline_inputs import PipelineParameters
    from kfp_llm_tuning.components.validation.pipeline_parameters import (
        validate_pipeline_parameters,
    )

    parameters = request.parameters()
    known = {field.name for field in dataclasses.fields(PipelineParameters)}
    inputs = {name: value for name, value in parameters.items() if name in known}
    # validate-pipeline calls it by its published short name.
    default = str(TEMPLATES[request.template]["large_model_reference"].default)
    checked = validate_pipeline_parameters(
        PipelineParameters(
            **inputs,
            model=parameters.get("large_model_reference", default),
            pipeline_region=settings.region,
            service_account=settings.service_account,
            template=request.template,
            platform="vertex",
        )
    )
    return parameters, checked


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
        source: Where the spec comes from.

    Returns:
        The spec.

    Raises:
        UserError: If a file is no template of ours or another one, or if images have no registry.
    """
    if source.file is None:
        spec = template.pipeline_spec(request.template, source.image_registry)
    else:
        spec = template.read_pipeline_spec(source.file, source.image_registry)
        if (name := template.template_of(spec)) != request.template:
            what = f"is {name}, but the request is for {request.template}."
            raise UserError(Problem(what, str(source.file), fix=f"Give --template {name}."))
    return spec if source.caching else template.without_caching(spec)


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
