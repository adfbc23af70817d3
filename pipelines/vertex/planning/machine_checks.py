"""Looks whether the machines of a run are to be had: where it wants them, and within the quota."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.vertex.planning.google_apis import GoogleApis
from kfp_llm_tuning.pipelines.vertex.planning.run_needs import MachineNeed, machine_needs
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun

_QUOTAS = "https://serviceusage.googleapis.com/v1beta1/projects"
_COMPUTE = "https://compute.googleapis.com/compute/v1/projects"
_VERTEX_API = "aiplatform.googleapis.com"


def check_machines(apis: GoogleApis, run: VertexRun) -> list[Check]:
    """Looks whether each machine is on offer in its region."""
    offered = {
        machine: _regions_of(apis, run.settings.project, *machine)
        for machine in dict.fromkeys(map(_offered_as, machine_needs(run)))
    }
    return [_check_machine(need, offered[_offered_as(need)]) for need in machine_needs(run)]


def _regions_of(apis: GoogleApis, project: str, kind: str, name: str) -> list[str]:
    url = f"{_COMPUTE}/{project}/aggregated/{kind}?filter=name%3D{name}&maxResults=500"
    zones = apis.get(url, f"look where {name} is offered").get("items", {})
    found = (zone.removeprefix("zones/") for zone, entry in zones.items() if entry.get(kind))
    return sorted({zone.rpartition("-")[0] for zone in found})


def _check_machine(need: MachineNeed, regions: Sequence[str]) -> Check:
    _, name = _offered_as(need)
    if need.region in regions:
        return Check("machine", "ok", f"{need.region} has {name}, for {need.task}.")
    elsewhere = f" It is in {', '.join(regions)}." if regions else ""
    what = f"{need.region} has no {name}, for {need.task}.{elsewhere}"
    return _missing("machine", what, need, "Choose another region")


def _offered_as(need: MachineNeed) -> tuple[str, str]:
    """Names the collection of Compute Engine that has the machine, and how it calls it there."""
    if need.machine_type:
        return "machineTypes", need.machine_type
    return "acceleratorTypes", need.accelerator_type.lower().replace("_", "-")


def check_quota(apis: GoogleApis, run: VertexRun) -> list[Check]:
    """Looks whether the quotas hold each machine."""
    needs = machine_needs(run)
    if not needs:
        return []
    url = f"{_QUOTAS}/{run.settings.project}/services/{_VERTEX_API}/consumerQuotaMetrics"
    told = {
        str(found.get("metric", "")).removeprefix(f"{_VERTEX_API}/"): found
        for found in apis.pages(url, "metrics", "read quotas")
    }
    return [_check_quota(need, told) for need in _largest(needs)]


def _largest(needs: list[MachineNeed]) -> Iterator[MachineNeed]:
    """Keeps one machine a metric and region: they are taken one after the other."""

    def place(need: MachineNeed) -> tuple[str, str]:
        return need.quota, need.region

    for _, alike in groupby(sorted(needs, key=place), key=place):
        # Where two take as much, the one whose lack ends the run.
        yield max(alike, key=lambda need: (need.units, not need.spared))


def _check_quota(need: MachineNeed, told: Mapping[str, dict[str, Any]]) -> Check:
    name = f"{need.quota or f'the quota of {need.accelerator_type}'} in {need.region}"
    takes = f"{need.name} takes {need.units} (for {need.task})."
    metric = told.get(need.quota)
    limit = _limit(metric, need.region) if metric else None
    if limit is None:
        what = f"{name}: Vertex AI does not say how much there is; {takes}"
        return Check("quota", "unknown", what, "Look in the console: IAM & Admin, Quotas.")
    if limit < 0 or limit >= need.units:
        return Check("quota", "ok", f"{name}: {'no limit' if limit < 0 else limit}, {takes}")
    fix = "Ask for more (console: IAM & Admin, Quotas)"
    return _missing("quota", f"{name}: {limit}, but {takes}", need, fix)


def _missing(subject: str, what: str, need: MachineNeed, fix: str) -> Check:
    """Says that a machine is not to be had: a problem, unless the run goes on without it."""
    advice = f"{fix}, or {need.fix}." if need.fix else f"{fix}."
    if need.spared:
        return Check(subject, "warning", f"{what} Without it {need.spared}.", advice)
    return Check(subject, "problem", what, advice)


def _limit(metric: Mapping[str, Any], region: str) -> int | None:
    """Reads a region's limit; that of all regions where it has none of its own."""
    limits: dict[str, int] = {}
    for limit in metric.get("consumerQuotaLimits", []):
        for bucket in limit.get("quotaBuckets", []):
            where = bucket.get("dimensions", {}).get("region", "")
            limits[where] = int(bucket.get("effectiveLimit", 0))
    return limits.get(region, limits.get(""))
