"""The options that say on which platform a command works, and the names of each platform's own.

What belongs to the other platform is refused by name, not passed over: it would be missed later.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.pipelines.commands.place_options import place_options, vertex_typed
from kfp_llm_tuning.pipelines.jobs.services import KUBEFLOW, PLATFORMS, VERTEX

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.jobs.services import Service

_TITLES = {VERTEX: "Vertex AI", KUBEFLOW: "Kubeflow"}
# A job's project and endpoint are pipeline parameters, which are checked as such.
VERTEX_ONLY = frozenset(
    {"region", "network", "reserved_ip_ranges", "persistent_resource", "max_runs"}
)
_VERTEX_PLACE = frozenset({"project", "region", "api_endpoint"})
# Of the Connection, by the same names.
CLUSTER_FIELDS = ("host", "namespace", "token", "ca_file", "kube_context")
_KUBEFLOW_ONLY = frozenset({*CLUSTER_FIELDS, "options_file"})

platform_option = click.option(
    "--platform",
    type=click.Choice(PLATFORMS),
    default=VERTEX,
    envvar="KFP_LLM_TUNING_PLATFORM",
    show_envvar=True,
    show_default=True,
    help="Where pipelines run.",
)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which Kubeflow Pipelines is meant.

    Args:
        command: Takes ``host``, ``namespace``, ``token``, ``ca_file`` and ``kube_context``.

    Returns:
        The command with the options.
    """
    for option in reversed(_CLUSTER_OPTIONS):
        command = option(command)
    return command


_CLUSTER_OPTIONS = (
    click.option(
        "--host",
        default="",
        envvar=["KF_PIPELINES_ENDPOINT", "KFP_ENDPOINT"],
        show_envvar=True,
        metavar="URL",
        help="Kubeflow Pipelines.  [default: the cluster of the kubeconfig]",
    ),
    click.option(
        "--namespace",
        default="",
        envvar="KFP_NAMESPACE",
        show_envvar=True,
        help="Namespace on Kubeflow, where each user has one.",
    ),
    click.option(
        "--token",
        default="",
        envvar=["KFP_EXISTING_TOKEN", "KF_PIPELINES_TOKEN"],
        show_envvar=True,
        help="Bearer token for Kubeflow; in the environment others cannot read it.",
    ),
    click.option(
        "--ca-file",
        type=click.Path(path_type=Path),
        envvar="KFP_SSL_CA_CERT",
        show_envvar=True,
        help="Certificates that Kubeflow's is checked against, PEM.",
    ),
    click.option(
        "--kube-context",
        default="",
        help="Context of the kubeconfig.  [default: the current one]",
    ),
)


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a command look at what was sent, on either platform.

    Args:
        command: Takes ``service`` in the options' place; an argument ``job`` or ``schedule`` may be
            a full resource name, which says the place too.

    Returns:
        The command with the options.
    """

    @platform_option
    @place_options
    @cluster_options
    @wraps(command)
    def with_service(*arguments: Any, **options: Any) -> Any:
        refuse_others(options["platform"], _VERTEX_PLACE)
        place = {name: options.pop(name) for name in ("platform", *_VERTEX_PLACE, *CLUSTER_FIELDS)}
        resource = options.get("job") or options.get("schedule") or ""
        return command(*arguments, service=_service(place, resource), **options)

    return with_service


def _service(place: dict[str, Any], resource: str) -> Service:
    if place["platform"] == KUBEFLOW:
        from kfp_llm_tuning.pipelines.kubeflow.connection import Connection
        from kfp_llm_tuning.pipelines.kubeflow.service import KubeflowService

        return KubeflowService(Connection(**{name: place[name] for name in CLUSTER_FIELDS}))
    from kfp_llm_tuning.pipelines.vertex.service import VertexService

    return VertexService(
        vertex_typed(place["project"], place["region"], place["api_endpoint"], resource)
    )


def refuse_others(platform: str, vertex_only: frozenset[str] = VERTEX_ONLY) -> None:
    """Refuses options that were typed in and belong to the other platform.

    Args:
        platform: Where the command works.
        vertex_only: The options that Kubeflow has no use for.

    Raises:
        UserError: For each of them.
    """
    others, names = (VERTEX, vertex_only) if platform == KUBEFLOW else (KUBEFLOW, _KUBEFLOW_ONLY)
    context = click.get_current_context()
    what = f"is an option of {_TITLES[others]}, and the platform is {platform}."
    fix = f"Leave it out, or give --platform {others}."
    raise_all(
        [
            Problem(what, parameter.opts[0], fix=fix)
            for parameter in context.command.params
            if parameter.name in names
            and context.get_parameter_source(parameter.name) == ParameterSource.COMMANDLINE
        ]
    )
