"""Where on Vertex AI a command works: the project, the region, the endpoint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.validation.regions import region_problem

if TYPE_CHECKING:
    from kfp_llm_tuning.components.common.vertex import Vertex
    from kfp_llm_tuning.pipelines.requests.request import Request
    from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings

_RESOURCE = re.compile(r"projects/(?P<project>[^/]+)/locations/(?P<region>[^/]+)/.+")


def vertex_at(project: str, region: str, api_endpoint: str, resource: str = "") -> Vertex:
    """Finds the Vertex AI that a command talks to.

    Args:
        project: Id or number of the project; empty to read it from the resource.
        region: Likewise.
        api_endpoint: Vertex AI's endpoint without its region, or a whole URL.
        resource: What the command is about; where it is a full resource name, it says both.

    Returns:
        Vertex AI; nothing is asked yet.

    Raises:
        UserError: If project or region is missing, or no region has that name.
    """
    if match := _RESOURCE.fullmatch(resource):
        project, region = match["project"], match["region"]
    problems = []
    if not project:
        fix = "Give --project, or set GOOGLE_CLOUD_PROJECT."
        problems.append(Problem("a project is needed.", "--project", fix=fix))
    if not region:
        fix = "Give --region, or set GOOGLE_CLOUD_REGION."
        problems.append(Problem("a region is needed.", "--region", fix=fix))
    elif problem := region_problem(region, "--region"):
        problems.append(problem)
    raise_all(problems)
    from kfp_llm_tuning.components.common.vertex import Vertex

    return Vertex(project, region, regional_url(region, api_endpoint))


def vertex_of(request: Request, settings: JobSettings) -> Vertex:
    """Finds the Vertex AI that a job is sent to.

    Args:
        request: The job's request.
        settings: The rest of the job, settled.

    Returns:
        Vertex AI; nothing is asked yet.

    Raises:
        UserError: If project or region is missing, or no region has that name.
    """
    endpoint = request.values.get("api_endpoint") or TEXT["api_endpoint"].default
    return vertex_at(settings.project, settings.region, str(endpoint))


def regional_url(region: str, api_endpoint: str) -> str:
    """Writes the URL of Vertex AI in a region.

    Args:
        region: The region.
        api_endpoint: The endpoint without its region, or a whole URL, which is left as it is.

    Returns:
        The URL.
    """
    return api_endpoint if "://" in api_endpoint else f"https://{region}-{api_endpoint}"
