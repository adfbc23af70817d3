"""The options of a pipeline job, alike in every command that sends or plans one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kfp_llm_tuning.components.common.platforms import VERTEX
from kfp_llm_tuning.pipelines.commands.job_platforms import PLACE_FIELDS, make_target
from kfp_llm_tuning.pipelines.commands.place_options import REGION_VARIABLE
from kfp_llm_tuning.pipelines.commands.platform_options import (
    cluster_options,
    platform_option,
    refuse_others,
)
from kfp_llm_tuning.pipelines.commands.request_options import (
    RequestSource,
    gather_request,
    request_options,
)

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.jobs.services import Target
    from kfp_llm_tuning.pipelines.requests.request import Request

_REQUEST_FIELDS = ("template", "params", "request_file", "labels")
# Of the JobSettings and the RunSettings, by the same names.
_JOB_FIELDS = ("pipeline_root", "job_id", "service_account")


@dataclass(frozen=True)
class JobOptions:
    """What the command line says of a job.

    Attributes:
        source: What to tune.
        platform: Where: a name of ``platforms.JOB_PLATFORM_NAMES``.
        place: The options that say where on the platform.
        job: The options that the job is made with.
        image_registry: Where the images are.
        template_file: A compiled template; None to compile one.
        options_file: Options of the Kubeflow platform; None for the defaults.
        caching: Whether outputs of earlier runs may be reused.
        experiment: That the run belongs to; empty for none, or the platform's own.
    """

    source: RequestSource
    platform: str = VERTEX.name
    place: dict[str, Any] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)
    image_registry: str = ""
    template_file: Path | None = None
    options_file: Path | None = None
    caching: bool = True
    experiment: str = ""

    @classmethod
    def of(cls, options: dict[str, Any]) -> JobOptions:
        """Sorts a command's keywords: what is no field of the job is a pipeline parameter.

        Args:
            options: The keywords.

        Returns:
            The options.

        Raises:
            UserError: For every option that was typed in and belongs to the other platform.
        """
        refuse_others(options["platform"])
        options = dict(options)
        request = {name: options.pop(name) for name in _REQUEST_FIELDS}
        job = {name: options.pop(name, "") for name in _JOB_FIELDS}
        job["display_name"] = options.pop("job_name")
        places = {
            platform: {name: options.pop(name) for name in names}
            for platform, names in PLACE_FIELDS.items()
        }
        fields = {name: options.pop(name) for name in cls.__dataclass_fields__ if name in options}
        # An option that is given empty overrules the request: only what is left out is None.
        parameters = {name: value for name, value in options.items() if value is not None}
        return cls(
            RequestSource(options=parameters, **request),
            place=places[fields["platform"]],
            job=job,
            **fields,
        )

    def request(self) -> Request:
        """Reads what is to be tuned."""
        # A template that was compiled elsewhere may not know the input.
        return gather_request(self.source, advise_steps=self.template_file is None)

    def target(self) -> Target:
        """Says where it is to be tuned; nothing is asked yet."""
        from kfp_llm_tuning.pipelines.templates.template import TemplateSource

        source = TemplateSource(self.image_registry, self.template_file, self.caching)
        return make_target(
            self.platform, self.place, self.job, source, self.options_file, self.experiment
        )


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of a job, and below them those of the request.

    Args:
        command: Takes every option as a keyword; ``JobOptions.of`` sorts them.

    Returns:
        The command with the options.
    """
    command = request_options(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return platform_option(cluster_options(command))


_OPTIONS = (
    click.option(
        "--options",
        "options_file",
        type=click.Path(path_type=Path),
        help="Options of the Kubeflow cluster, YAML; see compile --print-options.",
    ),
    click.option(
        "--region",
        default="",
        envvar=REGION_VARIABLE,
        show_envvar=True,
        help="Region of Vertex AI that the pipeline runs in.  [default: --location]",
    ),
    click.option(
        "--pipeline-root",
        "--staging",
        "pipeline_root",
        default="",
        metavar="URI",
        help="Where the run's files go: gs://BUCKET/FOLDER; on Kubeflow [default: the cluster's].",
    ),
    click.option(
        "--image-registry",
        default="",
        envvar="KFP_LLM_TUNING_IMAGE_REGISTRY",
        show_envvar=True,
        metavar="REGISTRY",
        help="Where `make images` pushed the images.",
    ),
    click.option(
        "--template-file",
        type=click.Path(path_type=Path),
        help="Send this compiled template.  [default: compile it now]",
    ),
    click.option("--job-name", default="", help="Name of the job.  [default: the model's]"),
    click.option("--service-account", default="", help="Account that the tasks run as."),
    click.option(
        "--network", default="", help="VPC network: projects/NUMBER/global/networks/NAME."
    ),
    click.option(
        "--reserved-ip-range",
        "reserved_ip_ranges",
        multiple=True,
        help="IP range of the network. Repeatable.",
    ),
    click.option(
        "--persistent-resource", default="", help="Machines kept for several jobs, by id or name."
    ),
    click.option(
        "--experiment",
        default="",
        help="Experiment that the run belongs to.  [default: none; on Kubeflow Default]",
    ),
    click.option(
        "--caching/--no-caching",
        default=True,
        show_default=True,
        help="Take over outputs of earlier runs with the same inputs.",
    ),
)
