"""The runs and recurring runs of one Kubeflow Pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.pipelines.jobs.job import JobFilter, JobView
from kfp_llm_tuning.pipelines.jobs.job_advice import exit_status
from kfp_llm_tuning.pipelines.jobs.schedules import ScheduleView
from kfp_llm_tuning.pipelines.kubeflow import recurring_runs, runs
from kfp_llm_tuning.pipelines.kubeflow.api_errors import ApiException, explained
from kfp_llm_tuning.pipelines.kubeflow.connection import Connection, KubeflowApi
from kfp_llm_tuning.pipelines.kubeflow.registered_model import registered_model
from kfp_llm_tuning.pipelines.kubeflow.run_settings import RunNote
from kfp_llm_tuning.pipelines.kubeflow.run_view import RunFacts, parameters_of, view
from kfp_llm_tuning.pipelines.kubeflow.task_errors import FAILED, PENDING, pod_messages
from kfp_llm_tuning.pipelines.templates.template import compiled_for, template_of

_KILLED, _RUN_AGAIN, _NOT_FOUND = 137, 75, 404
_ADVICE = {
    _KILLED: "The pod ran out of memory: give its tasks more in the options (memory_request).",
    _RUN_AGAIN: "It was interrupted after saving its state: retry the run, or submit it again.",
}
_LOOK = "The task's log and its pod's events, in the user interface, say more."


@dataclass
class KubeflowService:
    """The runs and recurring runs of one Kubeflow Pipelines.

    Attributes:
        connection: Where; it is opened when something is asked for.
        title: What people call it.
    """

    connection: Connection
    title: str = "Kubeflow Pipelines"

    @property
    def options_text(self) -> str:
        """What a command is told to come here again."""
        return self.connection.options_text

    @cached_property
    def api(self) -> KubeflowApi:
        """The open connection."""
        return self.connection.open()

    def find_job(self, job: str) -> JobView:
        """Looks a run up by its id, or by the id that its job was sent with."""
        run = runs.find(self.api, job)
        return view(run, self._facts(run), self.api.ui)

    def list_jobs(self, chosen: JobFilter) -> Iterator[JobView]:
        """Lists runs, the newest first, without their tasks and models."""
        for run in runs.list_runs(self.api, chosen.state):
            note = RunNote.parse(run.description)
            if (chosen.labels or {}).items() <= note.labels.items():
                found = view(run, RunFacts(self._template_name(run)), self.api.ui)
                if _is_chosen(found, chosen):
                    yield found

    def cancel_job(self, job: str) -> None:
        """Asks a run to stop."""
        runs.terminate(self.api, job)

    def explain(self, text: str, code: int, where: str) -> Problem:
        """Says what to do about an error of a run or a task."""
        fix = _ADVICE.get(exit_status(text) or 0, _LOOK)
        return Problem(text or "no reason was given.", where, fix=fix)

    def find_schedule(self, schedule: str) -> ScheduleView:
        """Looks a recurring run up by its id or its name."""
        return self._schedule(recurring_runs.find(self.api, schedule))

    def list_schedules(self, state: str) -> list[ScheduleView]:
        """Lists recurring runs in a state, or all of them, the newest first."""
        found = map(self._schedule, recurring_runs.list_recurring_runs(self.api))
        return [one for one in found if state in ("", one.state)]

    def runs_of(self, schedule: ScheduleView, limit: int) -> list[JobView]:
        """Lists the last runs of a recurring run, the newest first."""
        found = runs.runs_of(self.api, schedule.name, limit)
        return [view(run, self._facts(run), self.api.ui) for run in found]

    def pause_schedule(self, schedule: ScheduleView) -> None:
        """Keeps a recurring run from starting runs."""
        recurring_runs.set_enabled(self.api, schedule.name, False)

    def resume_schedule(self, schedule: ScheduleView, catch_up: bool) -> None:
        """Lets a recurring run start runs again.

        Args:
            schedule: The recurring run.
            catch_up: Refused: whether it makes up for runs was settled when it was made.

        Raises:
            UserError: If it cannot be, or if it is to catch up.
        """
        if catch_up:
            what = "on Kubeflow a schedule catches up, or does not, from when it is made."
            fix = "Leave it out; schedule create --allow-queueing makes one that does."
            raise UserError(Problem(what, "--catch-up", fix=fix))
        recurring_runs.set_enabled(self.api, schedule.name, True)

    def delete_schedule(self, schedule: ScheduleView) -> None:
        """Deletes a recurring run; its runs stay."""
        recurring_runs.delete(self.api, schedule.name)

    def _schedule(self, recurring_run: Any) -> ScheduleView:
        with explained("count the runs of the schedule"):
            return recurring_runs.view(self.api, recurring_run)

    def _facts(self, run: Any) -> RunFacts:
        spec = self._spec(run)
        if run.state == "FAILED":
            messages = pod_messages(self.api, run.run_id, FAILED)
            return RunFacts(template_of(spec), spec, errors=messages)
        if run.state != "SUCCEEDED":
            messages = pod_messages(self.api, run.run_id, PENDING)
            return RunFacts(template_of(spec), spec, waiting=messages)
        uri = parameters_of(run).get("registry_uri") or compiled_for(spec).get(
            "platform_registry_uri", ""
        )
        model = registered_model(str(uri), run.run_id)
        return RunFacts(
            template_of(spec),
            spec,
            model=model.name,
            endpoint=model.endpoint,
            note=model.note,
            primary=model.primary,
        )

    def _spec(self, run: Any) -> dict[str, Any]:
        """Reads the pipeline of a run; empty where its version was deleted."""
        reference = run.pipeline_version_reference
        if reference is None:
            return _pipeline_of(run.pipeline_spec)
        ids = (reference.pipeline_id, reference.pipeline_version_id)
        if ids not in self._specs:
            with explained("read the run's pipeline"):
                self._specs[ids] = _pipeline_of(self._version_spec(*ids))
        return self._specs[ids]

    def _version_spec(self, pipeline_id: str, version_id: str) -> Any:
        read = self.api.client.pipelines.pipeline_service_get_pipeline_version
        try:
            return self.api.read(read, pipeline_id, version_id).pipeline_spec
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise
            return {}

    @cached_property
    def _specs(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {}

    def _template_name(self, run: Any) -> str:
        """Names a run's pipeline without reading it, which is thousands of lines."""
        reference = run.pipeline_version_reference
        if reference is None:
            return template_of(_pipeline_of(run.pipeline_spec))
        return self._names.get(reference.pipeline_id, "")

    @cached_property
    def _names(self) -> Mapping[str, str]:
        from kfp_llm_tuning.pipelines.kubeflow.package import pipeline_names

        with explained("list the pipelines"):
            return pipeline_names(self.api)


def _is_chosen(found: JobView, chosen: JobFilter) -> bool:
    return (
        chosen.state in ("", found.state)
        and chosen.template in ("", found.template)
        and chosen.model in ("", found.model_display_name)
    )


def _pipeline_of(content: Any) -> dict[str, Any]:
    """Takes the pipeline out of an answer, where it may stand beside its platform's settings."""
    found = dict(content or {})
    spec: dict[str, Any] = found.get("pipeline_spec", found)
    return spec
