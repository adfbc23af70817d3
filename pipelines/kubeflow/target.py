"""Prepares runs and recurring runs for Kubeflow: everything is checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import collect, raise_all
from kfp_llm_tuning.components.common.platforms import KUBEFLOW
from kfp_llm_tuning.pipelines.jobs.cron import frequency_notes
from kfp_llm_tuning.pipelines.jobs.schedules import Timing
from kfp_llm_tuning.pipelines.jobs.services import CreatedSchedule, SubmittedJob
from kfp_llm_tuning.pipelines.kubeflow import recurring_runs, runs
from kfp_llm_tuning.pipelines.kubeflow.api_errors import explained
from kfp_llm_tuning.pipelines.kubeflow.connection import Connection, KubeflowApi
from kfp_llm_tuning.pipelines.kubeflow.package import Package, register
from kfp_llm_tuning.pipelines.kubeflow.package_source import PackageSource
from kfp_llm_tuning.pipelines.kubeflow.recurring_request import recurring_run_body
from kfp_llm_tuning.pipelines.kubeflow.run_settings import (
    RunSettings,
    path_problems,
    settings_problems,
    settle,
)
from kfp_llm_tuning.pipelines.kubeflow.run_view import run_url
from kfp_llm_tuning.pipelines.kubeflow.service import KubeflowService
from kfp_llm_tuning.pipelines.requests.request import Request
from kfp_llm_tuning.pipelines.requests.request_check import checked_parameters
from kfp_llm_tuning.pipelines.templates.template import TemplateSource

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.planning.plan import Plan


@dataclass(frozen=True)
class KubeflowRun:
    """A run that was checked.

    Attributes:
        service: Where it goes.
        settings: What it has beside its template and its parameters.
        package: What it runs.
        content: The rest of its body.
        notes: What is worth a look.
    """

    service: KubeflowService
    settings: RunSettings
    package: Package
    content: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def job_id(self) -> str:
        """Sent again with the same id, it is not started again."""
        return self.settings.job_id

    @property
    def body(self) -> dict[str, Any]:
        """The run with its pipeline in it, for those who send it without us."""
        return {**self.content, "pipeline_spec": self.package.as_struct()}

    def how_to_send(self) -> str:
        """Tells how to send the body with curl."""
        host = self.service.connection.host.rstrip("/") or "$KF_PIPELINES_ENDPOINT"
        version = f"{self.package.name}, version {self.package.version}"
        return (
            f"# Nothing was sent. submit registers the pipeline as {version},\n"
            f"# and puts the run into the experiment {self.settings.experiment}.\n"
            "# Without both, send it, saved as request.json, with:\n"
            '# curl -X POST -H "Authorization: Bearer $KFP_EXISTING_TOKEN" \\\n'
            '#   -H "Content-Type: application/json" -d @request.json \\\n'
            f"#   '{host}/apis/v2beta1/runs'"
        )

    def send(self) -> SubmittedJob:
        """Starts the run unless one of its id is there.

        Returns:
            The run.

        Raises:
            UserError: If the service refuses, or if the id belongs to another run.
        """
        api = self.service.api
        body = {**self.content, **_place(api, self.settings, self.package)}
        with explained(f"start the run {self.job_id}"):
            run = runs.create(api, self.job_id, body)
        return SubmittedJob(str(run.run_id), run_url(api.ui, str(run.run_id)))

    def after_sending(self, sent: SubmittedJob) -> None:
        """Does nothing: the run was made in its experiment."""


@dataclass(frozen=True)
class KubeflowSchedule:
    """A recurring run that was checked.

    Attributes:
        service: Where it goes.
        settings: What its runs have beside their template and their parameters.
        package: What they run.
        content: The rest of its body.
        notes: What is worth a look.
    """

    service: KubeflowService
    settings: RunSettings
    package: Package
    content: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """The recurring run with its pipeline in it, for those who send it without us."""
        return {**self.content, "pipeline_spec": self.package.as_struct()}

    def make(self) -> CreatedSchedule:
        """Makes the recurring run unless the same request made it before.

        Returns:
            The recurring run.

        Raises:
            UserError: If the service refuses, or if another one has the name.
        """
        api, name = self.service.api, self.content["display_name"]
        body = {**self.content, **_place(api, self.settings, self.package)}
        with explained(f"make the schedule {name}"):
            made, was_there, deleted = recurring_runs.create(api, body)
            return CreatedSchedule(recurring_runs.view(api, made), was_there, deleted)


@dataclass(frozen=True)
class KubeflowTarget:
    """Where runs are to go.

    Attributes:
        connection: Where Kubeflow Pipelines is.
        settings: What a run has beside its template and its parameters.
        source: Where the template comes from.
        options_file: Options of the cluster; None for the defaults.
    """

    connection: Connection = field(default_factory=Connection)
    settings: RunSettings = field(default_factory=RunSettings)
    source: TemplateSource = field(default_factory=TemplateSource)
    options_file: Path | None = None

    def job(self, request: Request) -> KubeflowRun:
        """Checks a run.

        Args:
            request: What to run.

        Returns:
            The run, ready to be sent.

        Raises:
            UserError: With every problem found.
        """
        request, settings, notes = settle(request, self.settings, self.connection.namespace)
        content, package = self._checked(request, settings)
        names = {"display_name": settings.display_name, "description": str(settings.note)}
        service = KubeflowService(self.connection)
        return KubeflowRun(service, settings, package, {**names, **content}, notes)

    def schedule(self, request: Request, name: str, timing: Timing) -> KubeflowSchedule:
        """Checks a recurring run; MLflow makes each of its models a version of one name.

        Args:
            request: What every run is to do.
            name: Its name; empty for the model's.
            timing: When it starts runs.

        Returns:
            The recurring run, ready to be made.

        Raises:
            UserError: With every problem found.
        """
        name = name or str(request.values.get("model_display_name", ""))
        request, settings, notes = settle(request, self.settings, self.connection.namespace)
        content, package = self._checked(request, settings)
        # The digest in the body tells the request, which its pipeline is part of.
        named = {**content, "pipeline_version": package.version}
        body = recurring_run_body(name, timing, settings.labels, named)
        del body["pipeline_version"]
        service = KubeflowService(self.connection)
        notes += frequency_notes(timing.cron)
        return KubeflowSchedule(service, settings, package, body, notes)

    def plan(self, request: Request, machine_price: float | None = None) -> Plan:
        """Looks at everything that a run would need, and changes nothing.

        Args:
            request: What to run.
            machine_price: US dollars an hour of the tuner's machine; None where it is not known.

        Returns:
            What was found, and the estimate.
        """
        from kfp_llm_tuning.pipelines.kubeflow.planning.kubeflow_plan import make_plan

        return make_plan(self.connection, self.settings, self._packages, request, machine_price)

    @property
    def _packages(self) -> PackageSource:
        return PackageSource(self.source, self.options_file)

    def _checked(self, request: Request, settings: RunSettings) -> tuple[dict[str, Any], Package]:
        problems = [*self.connection.problems(), *settings_problems(settings)]
        parameters: dict[str, Any] = {}
        package = None
        with collect(problems):
            package = self._packages.package(request, settings)
        with collect(problems):
            place = package.place if package else {"platform": KUBEFLOW.name}
            parameters, _ = checked_parameters(request, place)
            problems += path_problems(parameters)
        raise_all(problems)
        assert package is not None
        runtime: dict[str, Any] = {"parameters": parameters}
        if settings.pipeline_root:
            runtime["pipeline_root"] = settings.pipeline_root
        content: dict[str, Any] = {"runtime_config": runtime}
        if settings.service_account:
            content["service_account"] = settings.service_account
        return content, package


def _place(api: KubeflowApi, settings: RunSettings, package: Package) -> dict[str, Any]:
    """Makes sure of the experiment and the version, and names them as a run does."""
    with explained(f"find the experiment {settings.experiment}", "--experiment"):
        experiment = runs.experiment_id(api, settings.experiment)
    with explained(f"register the pipeline {package.name}"):
        registered = register(api, package)
    return {
        "experiment_id": experiment,
        "pipeline_version_reference": registered.as_reference(),
    }
