"""HealthzService."""

from __future__ import annotations

from typing import Any

from tests.kubeflow.backend import Backend, Call, serves


@serves("GET", "/apis/v2beta1/healthz", "HealthzService.GetHealthz")
def get_health(backend: Backend, _call: Call) -> dict[str, Any]:
    """Tell what server this is."""
    return {
        "commit_sha": "unknown",
        "tag_name": "2.17.0",
        "multi_user": backend.multi_user,
        "pipeline_store": "database",
    }
