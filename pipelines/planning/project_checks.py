"""Looks at the project: whether it is there, what is enabled, permitted and allotted."""

from __future__ import annotations

from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.planning.estimate import TABLE
from kfp_llm_tuning.pipelines.planning.google_apis import GoogleApis
from kfp_llm_tuning.pipelines.planning.planned_run import VertexRun

_PROJECTS = "https://cloudresourcemanager.googleapis.com/v3/projects"
_SERVICES = "https://serviceusage.googleapis.com/v1/projects"
_QUOTAS = "https://serviceusage.googleapis.com/v1beta1/projects"
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
    if "pkg.dev" in run.image_registry:
        needed.append("artifactregistry.googleapis.com")
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


def check_quota(apis: GoogleApis, run: VertexRun) -> list[Check]:
    """Looks whether the quota of the tuning region holds the machine."""
    if not (run.checked and run.checked.machine):
        return []
    needed, metric = _need(run)
    region, project = run.checked.machine.region, run.settings.project
    url = f"{_QUOTAS}/{project}/services/{_VERTEX_API}/consumerQuotaMetrics"
    limit = None
    for found in apis.pages(url, "metrics", "read quotas"):
        if found.get("metric") == f"{_VERTEX_API}/{metric}":
            limit = _limit(found, region)
    name = f"{metric} in {region}"
    if limit is None:
        what = f"{name}: Vertex AI does not say how much there is; {run.machine} takes {needed}."
        return [Check("quota", "unknown", what, "Look in the console: IAM & Admin, Quotas.")]
    if limit < 0 or limit >= needed:
        text = f"{name}: {'no limit' if limit < 0 else limit}, {run.machine} takes {needed}."
        return [Check("quota", "ok", text)]
    fix = "Ask for more (console: IAM & Admin, Quotas), or choose another --tuning-machine."
    return [Check("quota", "problem", f"{name}: {limit}, but {run.machine} takes {needed}.", fix)]


def _need(run: VertexRun) -> tuple[int, str]:
    machine = load_table(TABLE)["machines"][run.machine]
    preemptible = "" if run.strategy == "STANDARD" else "preemptible_"
    return machine["quota_units"], f"custom_model_training_{preemptible}{machine['quota']}"


def _limit(metric: dict[str, object], region: str) -> int | None:
    """Reads a region's limit; that of all regions where it has none of its own."""
    limits: dict[str, int] = {}
    for limit in metric.get("consumerQuotaLimits", []):  # type: ignore[attr-defined]
        for bucket in limit.get("quotaBuckets", []):
            where = bucket.get("dimensions", {}).get("region", "")
            limits[where] = int(bucket.get("effectiveLimit", 0))
    return limits.get(region, limits.get(""))
