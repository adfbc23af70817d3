"""Chooses what stands behind the interface of `jobs/services.py` on each platform."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.platforms import KUBEFLOW, VERTEX
from kfp_llm_tuning.pipelines.commands.place_options import PROJECT_VARIABLE, vertex_typed

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.jobs.services import Service, Target
    from kfp_llm_tuning.pipelines.templates.template import TemplateSource

# What says where on the platform a job runs: fields of the Connection, and of the JobSettings.
CLUSTER_FIELDS = ("host", "namespace", "token", "ca_file", "kube_context")
PLACE_FIELDS: Mapping[str, tuple[str, ...]] = {
    VERTEX.name: ("region", "network", "reserved_ip_ranges", "persistent_resource"),
    KUBEFLOW.name: CLUSTER_FIELDS,
}


def open_service(platform: str, place: Mapping[str, Any], resource: str) -> Service:
    """Opens the jobs and schedules of a place; nothing is asked yet.

    Args:
        platform: A name of ``platforms.JOB_PLATFORM_NAMES``.
        place: The options that say where on it.
        resource: A full resource name may say that too; else empty.

    Returns:
        The service.

    Raises:
        UserError: If the place is not known.
    """
    return _SERVICES[platform](place, resource)


def make_target(
    platform: str,
    place: Mapping[str, Any],
    job: Mapping[str, Any],
    source: TemplateSource,
    options_file: Path | None,
    experiment: str,
) -> Target:
    """Says where jobs are to run; nothing is asked yet.

    Args:
        platform: A name of ``platforms.JOB_PLATFORM_NAMES``.
        place: The options of ``PLACE_FIELDS``.
        job: Settings that all platforms have.
        source: Where the template comes from.
        options_file: Options of a Kubeflow cluster; None for the defaults.
        experiment: That the run belongs to; empty for none, or the platform's own.

    Returns:
        The target.
    """
    return _TARGETS[platform](place, job, source, options_file, experiment)


def _kubeflow_service(place: Mapping[str, Any], resource: str) -> Service:
    from kfp_llm_tuning.pipelines.kubeflow.connection import Connection
    from kfp_llm_tuning.pipelines.kubeflow.service import KubeflowService

    return KubeflowService(Connection(**{name: place[name] for name in CLUSTER_FIELDS}))


def _vertex_service(place: Mapping[str, Any], resource: str) -> Service:
    from kfp_llm_tuning.pipelines.vertex.service import VertexService

    return VertexService(
        vertex_typed(place["project"], place["region"], place["api_endpoint"], resource)
    )


def _kubeflow_target(
    place: Mapping[str, Any],
    job: Mapping[str, Any],
    source: TemplateSource,
    options_file: Path | None,
    experiment: str,
) -> Target:
    from kfp_llm_tuning.pipelines.kubeflow.connection import Connection
    from kfp_llm_tuning.pipelines.kubeflow.run_settings import RunSettings
    from kfp_llm_tuning.pipelines.kubeflow.target import KubeflowTarget

    settings = RunSettings(experiment=experiment, **job)
    return KubeflowTarget(Connection(**place), settings, source, options_file)


def _vertex_target(
    place: Mapping[str, Any],
    job: Mapping[str, Any],
    source: TemplateSource,
    options_file: Path | None,
    experiment: str,
) -> Target:
    from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings
    from kfp_llm_tuning.pipelines.vertex.target import VertexTarget

    project = os.environ.get(PROJECT_VARIABLE, "")
    return VertexTarget(JobSettings(project=project, **job, **place), source, experiment)


_SERVICES: Mapping[str, Callable[..., Service]] = {
    VERTEX.name: _vertex_service,
    KUBEFLOW.name: _kubeflow_service,
}
_TARGETS: Mapping[str, Callable[..., Target]] = {
    VERTEX.name: _vertex_target,
    KUBEFLOW.name: _kubeflow_target,
}
