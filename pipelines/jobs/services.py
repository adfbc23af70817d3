"""Where pipelines run, Vertex AI or Kubeflow, behind one interface for the commands.

A *target* prepares what is sent: everything that can be checked is checked before anything is. A
*service* knows what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kfp_llm_tuning.components.common.errors import Problem
    from kfp_llm_tuning.pipelines.jobs.job import JobFilter, JobView
    from kfp_llm_tuning.pipelines.jobs.schedules import ScheduleView, Timing
    from kfp_llm_tuning.pipelines.planning.plan import Plan
    from kfp_llm_tuning.pipelines.requests.request import Request


class Service(Protocol):
    """The jobs and schedules of one place."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def options_text(self) -> str:
        """What a command is told to come here again, with a blank in front; may be empty."""

    def find_job(self, job: str) -> JobView:
        """Looks a job up by whatever names it."""

    def list_jobs(self, chosen: JobFilter) -> Iterator[JobView]:
        """Lists jobs, the newest first."""

    def cancel_job(self, job: str) -> None:
        """Asks a job to stop."""

    def explain(self, text: str, code: int, where: str) -> Problem:
        """Says what to do about an error of a job or a task."""

    def find_schedule(self, schedule: str) -> ScheduleView:
        """Looks a schedule up by whatever names it."""

    def list_schedules(self, state: str) -> Sequence[ScheduleView]:
        """Lists schedules in a state, or all of them, the newest first."""

    def runs_of(self, schedule: ScheduleView, limit: int) -> Sequence[JobView]:
        """Lists the last runs of a schedule, the newest first."""

    def pause_schedule(self, schedule: ScheduleView) -> None:
        """Keeps a schedule from starting runs."""

    def resume_schedule(self, schedule: ScheduleView, catch_up: bool) -> None:
        """Lets a schedule start runs again."""

    def delete_schedule(self, schedule: ScheduleView) -> None:
        """Deletes a schedule; its runs stay."""


@dataclass(frozen=True)
class SubmittedJob:
    """A job that is there.

    Attributes:
        name: What leads to it.
        console: URL of its page; empty where it is not known.
    """

    name: str
    console: str


class PreparedJob(Protocol):
    """A job that was checked, and not yet sent."""

    @property
    def job_id(self) -> str:
        """Sent again with the same id, it is not started again."""

    @property
    def service(self) -> Service:
        """Where it goes."""

    @property
    def notes(self) -> Sequence[str]:
        """What is worth a look, though nothing is wrong."""

    @property
    def body(self) -> Mapping[str, Any]:
        """What is sent, as JSON."""

    def how_to_send(self) -> str:
        """Tells how to send the body without us."""

    def send(self) -> SubmittedJob:
        """Starts the job unless it is there."""

    def after_sending(self, sent: SubmittedJob) -> None:
        """Does what can only be done once the job is there."""


@dataclass(frozen=True)
class CreatedSchedule:
    """A schedule that is there.

    Attributes:
        schedule: The schedule.
        was_there: Whether the same request had made it before.
        deleted: Names of the twins that a repeated delivery had made.
    """

    schedule: ScheduleView
    was_there: bool
    deleted: tuple[str, ...]


class PreparedSchedule(Protocol):
    """A schedule that was checked, and not yet made."""

    @property
    def notes(self) -> Sequence[str]:
        """What is worth a look, though nothing is wrong."""

    @property
    def body(self) -> Mapping[str, Any]:
        """What is sent, as JSON."""

    def make(self) -> CreatedSchedule:
        """Makes the schedule unless the same request made it before."""


class Target(Protocol):
    """Where jobs are to run, with all that the command line says of them."""

    def job(self, request: Request) -> PreparedJob:
        """Checks a job."""

    def schedule(self, request: Request, name: str, timing: Timing) -> PreparedSchedule:
        """Checks a schedule; an empty name stands for the model's."""

    def plan(self, request: Request, machine_price: float | None) -> Plan:
        """Looks at everything that a job would need, and changes nothing."""
