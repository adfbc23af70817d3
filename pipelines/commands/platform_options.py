"""The options that say on which platform a command works, and the names of each platform's own.

What belongs to the other platform is refused by name, not passed over: it would be missed later.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.components.common.platforms import (
    JOB_PLATFORM_NAMES,
    KUBEFLOW,
    VERTEX,
    platform_named,
)
from kfp_llm_tuning.pipelines.commands.job_platforms import CLUSTER_FIELDS, open_service
from kfp_llm_tuning.pipelines.commands.place_options import place_options

# A job's project and endpoint are pipeline parameters, which are checked as such.
VERTEX_ONLY = frozenset(
    {"region", "network", "reserved_ip_ranges", "persistent_resource", "max_runs"}
)
_VERTEX_PLACE = frozenset({"project", "region", "api_endpoint"})
_KUBEFLOW_ONLY = frozenset({*CLUSTER_FIELDS, "options_file"})

platform_option = click.option(
    "--platform",
    type=click.Choice(JOB_PLATFORM_NAMES),
    default=VERTEX.name,
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
        platform = options.pop("platform")
        place = {name: options.pop(name) for name in (*_VERTEX_PLACE, *CLUSTER_FIELDS)}
        resource = options.get("job") or options.get("schedule") or ""
        service = open_service(platform, place, resource)
        return command(*arguments, service=service, **options)

    return with_service


def refuse_others(platform: str, vertex_only: frozenset[str] = VERTEX_ONLY) -> None:
    """Refuses options that were typed in and belong to the other platform.

    Args:
        platform: Where the command works.
        vertex_only: The options that Kubeflow has no use for.

    Raises:
        UserError: For each of them.
    """
    context = click.get_current_context()
    own = {VERTEX.name: vertex_only, KUBEFLOW.name: _KUBEFLOW_ONLY}
    raise_all(
        [
            Problem(
                f"is an option of {platform_named(other).title}, and the platform is {platform}.",
                parameter.opts[0],
                fix=f"Leave it out, or give --platform {other}.",
            )
            for other, names in own.items()
            for parameter in context.command.params
            if other != platform
            and parameter.name in names
            and context.get_parameter_source(parameter.name) == ParameterSource.COMMANDLINE
        ]
    )
