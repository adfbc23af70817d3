"""Looks at everything that a run on Vertex AI needs, whatever is found, and estimates the run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect
from kfp_llm_tuning.pipelines.planning.checks import Check, looked_at
from kfp_llm_tuning.pipelines.planning.dataset_check import check_dataset
from kfp_llm_tuning.pipelines.planning.plan import Plan
from kfp_llm_tuning.pipelines.templates.template import TemplateSource
from kfp_llm_tuning.pipelines.vertex.job_request import checked_parameters, job_spec
from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings, settings_problems
from kfp_llm_tuning.pipelines.vertex.place import vertex_of
from kfp_llm_tuning.pipelines.vertex.planning import (
    image_checks,
    machine_checks,
    project_checks,
    resource_checks,
)
from kfp_llm_tuning.pipelines.vertex.planning.google_apis import GoogleApis
from kfp_llm_tuning.pipelines.vertex.planning.prediction_room import check_prediction_room
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.requests.request import Request


def make_plan(
    request: Request,
    settings: JobSettings,
    source: TemplateSource,
    machine_price: float | None = None,
) -> Plan:
    """Looks at everything.

    Args:
        request: What to run, settled.
        settings: The rest of the job, settled.
        source: Where the pipeline spec comes from.
        machine_price: US dollars an hour of the tuner's machine; None for the list price.

    Returns:
        The plan; nothing was changed or spent.
    """
    run, checks = _settle(request, settings, source)
    run = dataclasses.replace(run, price=machine_price)
    checks += _ask_google(run)
    checks += check_prediction_room(run)
    dataset_checks, estimate = check_dataset(run, run.tuner)
    return Plan((*checks, *dataset_checks), estimate)


def _settle(
    request: Request, settings: JobSettings, source: TemplateSource
) -> tuple[VertexRun, list[Check]]:
    checks: list[Check] = []
    checked, vertex = None, None
    parameters: dict[str, Any] = {}
    try:
        parameters, checked = checked_parameters(request, settings)
        checks.append(Check("parameters", "ok", f"{len(parameters)} parameters are valid."))
        checks += [Check("parameters", "warning", text) for text in checked.warnings]
        found = settings_problems(settings, parameters)
        checks += [Check.of("job", problem) for problem in found]
    except UserError as error:
        checks += [Check.of("parameters", problem) for problem in error.problems]
    spec: dict[str, Any] = {}
    problems: list[Problem] = []
    with collect(problems):
        spec = job_spec(request, source)
        text = f"{request.template} is compiled, its images have a registry."
        checks.append(Check("template", "ok", text))
    checks += [Check.of("template", problem) for problem in problems]
    try:
        vertex = vertex_of(request, settings)
    except UserError:
        # validate-pipeline's own checks have said so.
        vertex = None
    values = {**request.values, **parameters}
    return VertexRun(request.template, values, checked, settings, vertex, spec), checks


def _ask_google(run: VertexRun) -> list[Check]:
    try:
        apis = GoogleApis()
        number = project_checks.project_number(apis, run.settings.project)
    except UserError as error:
        # Without credentials or project nothing else could be answered.
        return [Check.of("credentials", problem) for problem in error.problems]
    checks = [Check("credentials", "ok", f"{apis.account} can read {run.settings.project}.")]
    for subject, look in (
        ("APIs", lambda: project_checks.check_apis(apis, run)),
        ("permissions", lambda: project_checks.check_permissions(apis, run)),
        ("machine", lambda: machine_checks.check_machines(apis, run)),
        ("quota", lambda: machine_checks.check_quota(apis, run)),
        ("bucket", lambda: resource_checks.check_buckets(apis, run)),
        (
            "service account",
            lambda: resource_checks.check_service_account(apis, run, number),
        ),
        ("encryption key", lambda: resource_checks.check_key(apis, run)),
        ("images", lambda: image_checks.check_images(apis, run)),
    ):
        checks += looked_at(subject, look)
    if (vertex := run.vertex) is not None:
        checks += looked_at("metadata store", lambda: resource_checks.check_metadata_store(vertex))
        checks += looked_at(
            "resources", lambda: resource_checks.check_vertex_resources(vertex, run)
        )
    return checks
