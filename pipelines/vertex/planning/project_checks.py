"""Looks at the project: whether it is there, what is enabled and permitted."""

from __future__ import annotations

from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.vertex.planning.google_apis import GoogleApis
from kfp_llm_tuning.pipelines.vertex.planning.image_checks import (
    ARTIFACT_REGISTRY,
    uses_artifact_registry,
)
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun

_PROJECTS = "https://cloudresourcemanager.googleapis.com/v3/projects"
_SERVICES = "https://serviceusage.googleapis.com/v1/projects"
_VERTEX_API = "aiplatform.googleapis.com"
# What whoever submits needs; the tasks themselves work as the service account.
_PERMISSIONS = (
    "aiplatform.pipelineJobs.create",
    "aiplatform.pipelineJobs.get",
    "aiplatform.metadataStores.get",
)


def project_number(apis: GoogleApis, project: str) -> str:
    """Reads a project's number.

    Args:
        apis: Google's APIs.
        project: Its id or number.

    Returns:
        The number.

    Raises:
        UserError: If there is no such project, or if this account may not see it.
    """
    found = apis.get(f"{_PROJECTS}/{project}", f"read the project {project}")
    return str(found["name"]).removeprefix("projects/")


def check_apis(apis: GoogleApis, run: VertexRun) -> list[Check]:
    """Looks whether every API that the run uses is enabled."""
    needed = [_VERTEX_API, "compute.googleapis.com", "storage.googleapis.com"]
    if uses_artifact_registry(run):
        needed.append(ARTIFACT_REGISTRY)
    if run.settings.encryption_key:
        needed.append("cloudkms.googleapis.com")
    project = run.settings.project
    disabled = [api for api in needed if not _is_enabled(apis, project, api)]
    if not disabled:
        return [Check("APIs", "ok", f"{len(needed)} APIs are enabled.")]
    fix = f"gcloud services enable {' '.join(disabled)} --project={project}, and wait some minutes."
    return [Check("APIs", "problem", f"not enabled: {', '.join(disabled)}.", fix)]


def _is_enabled(apis: GoogleApis, project: str, api: str) -> bool:
    found = apis.get(f"{_SERVICES}/{project}/services/{api}", f"look whether {api} is enabled")
    return found.get("state") == "ENABLED"


def check_permissions(apis: GoogleApis, run: VertexRun) -> list[Check]:
    """Looks whether this account may submit and follow pipelines."""
    project = run.settings.project
    answer = apis.ask(
        f"{_PROJECTS}/{project}:testIamPermissions",
        {"permissions": list(_PERMISSIONS)},
        "look up permissions",
    )
    missing = [name for name in _PERMISSIONS if name not in answer.get("permissions", [])]
    if not missing:
        return [Check("permissions", "ok", f"{apis.account} may submit pipelines.")]
    what = f"{apis.account} lacks {', '.join(missing)}."
    return [Check("permissions", "problem", what, "Grant roles/aiplatform.user on the project.")]
