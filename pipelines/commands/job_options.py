"""The options of a pipeline job on Vertex AI, alike in every command that sends or plans one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kfp_llm_tuning.pipelines.commands.place_options import PROJECT_VARIABLE, REGION_VARIABLE
from kfp_llm_tuning.pipelines.commands.request_options import (
    RequestSource,
    gather_request,
    request_options,
)

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.requests import Request
    from kfp_llm_tuning.pipelines.vertex.job_request import TemplateSource
    from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings

_REQUEST_FIELDS = ("template", "params", "request_file", "labels")


@dataclass(frozen=True)
class JobOptions:
    """What the command line says of a job.

    Attributes:
        source: What to tune.
        region: Region of the pipeline; empty to take ``location``.
        pipeline_root: Folder in a bucket.
        job_id: The job's id; empty for one of its own.
        job_name: The job's name for people.
        service_account: Account that the tasks run as.
        network: VPC network.
        reserved_ip_ranges: IP ranges of that network.
        persistent_resource: Machines kept for several jobs.
        image_registry: Where the images are.
        template_file: A compiled template; None to compile one.
        caching: Whether outputs of earlier runs may be reused.
    """

    source: RequestSource
    region: str = ""
    pipeline_root: str = ""
    job_id: str = ""
    job_name: str = ""
    service_account: str = ""
    network: str = ""
    reserved_ip_ranges: tuple[str, ...] = ()
    persistent_resource: str = ""
    image_registry: str = ""
    template_file: Path | None = None
    caching: bool = True

    @classmethod
    def of(cls, options: dict[str, Any]) -> JobOptions:
        """Sorts a command's keywords: what is no field of the job is a pipeline parameter."""
        options = dict(options)
        fields = {name: options.pop(name) for name in cls.__dataclass_fields__ if name in options}
        request = {name: options.pop(name) for name in _REQUEST_FIELDS}
        # An option that is given empty overrules the request: only what is left out is None.
        parameters = {name: value for name, value in options.items() if value is not None}
        return cls(RequestSource(options=parameters, **request), **fields)

    def request(self) -> Request:
        """Reads what is to be tuned."""
        return gather_request(self.source)

    def settings(self) -> JobSettings:
        """Collects the rest of the job, as given."""
        from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings

        return JobSettings(
            project=os.environ.get(PROJECT_VARIABLE, ""),
            region=self.region,
            pipeline_root=self.pipeline_root,
            job_id=self.job_id,
            display_name=self.job_name,
            service_account=self.service_account,
            network=self.network,
            reserved_ip_ranges=self.reserved_ip_ranges,
            persistent_resource=self.persistent_resource,
        )

    def template(self) -> TemplateSource:
        """Says where the pipeline spec comes from."""
        from kfp_llm_tuning.pipelines.vertex.job_request import TemplateSource

        return TemplateSource(self.image_registry, self.template_file, self.caching)


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
    return command


_OPTIONS = (
    click.option(
        "--region",
        default="",
        envvar=REGION_VARIABLE,
        show_envvar=True,
        help="Region that the pipeline runs in.  [default: --location]",
    ),
    click.option(
        "--pipeline-root",
        "--staging",
        "pipeline_root",
        default="",
        metavar="gs://BUCKET/FOLDER",
        help="Where the run's files go.",
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
        "--caching/--no-caching",
        default=True,
        show_default=True,
        help="Take over outputs of earlier runs with the same inputs.",
    ),
)
