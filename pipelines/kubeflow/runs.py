"""Runs: made once however often they are asked for, looked up, listed, terminated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.pipelines.jobs.job_ids import JOB_ID
from kfp_llm_tuning.pipelines.kubeflow.api_errors import ApiException, explained
from kfp_llm_tuning.pipelines.kubeflow.connection import KubeflowApi, ensure
from kfp_llm_tuning.pipelines.kubeflow.lists import filter_of, list_all, named, predicate
from kfp_llm_tuning.pipelines.kubeflow.run_settings import RunNote

_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_ARCHIVED = predicate("storage_state", "ARCHIVED", "NOT_EQUALS")
_NOT_FOUND = 404
# In the service's words, by ours.
_STATES = {"cancelling": "CANCELING", "cancelled": "FAILED"}


def experiment_id(api: KubeflowApi, name: str) -> str:
    """Finds an experiment, or makes it.

    Args:
        api: Where.
        name: Its name.

    Returns:
        Its id.
    """
    make = api.client.experiments.experiment_service_create_experiment
    made = ensure(
        lambda: named(_experiments(api, api.once), name),
        lambda: api.once(make, experiment={"display_name": name, **api.namespaced}),
    )
    return str(made.experiment_id)


def find_experiment(api: KubeflowApi, name: str) -> Any | None:
    """Finds an experiment.

    Args:
        api: Where.
        name: Its name.

    Returns:
        The experiment; None where there is none.
    """
    with explained(f"find the experiment {name}", "--experiment"):
        return named(_experiments(api, api.read), name)


def create(api: KubeflowApi, job_id: str, body: Mapping[str, Any]) -> Any:
    """Starts a run unless one of this id is there.

    The service takes no id for a run: a request that was delivered twice makes two. So it is looked
    for by the id in its description before every try, and of twins only the oldest goes on.

    Args:
        api: Where.
        job_id: The run's id.
        body: The run, with its experiment and its version.

    Returns:
        The run as the service has it.

    Raises:
        UserError: If the id belongs to another run.
    """
    service = api.client.runs
    made = ensure(
        lambda: next(_of_job(api, api.once, job_id), None),
        lambda: api.once(service.run_service_create_run, run=dict(body)),
    )
    if made.runtime_config.parameters != body["runtime_config"]["parameters"]:
        what = f"{job_id} is the id of another run, with other parameters."
        fix = "Give another id, or none for one of its own."
        raise UserError(Problem(what, "--job-id", fix=fix))
    oldest, *twins = list(_of_job(api, api.read, job_id)) or [made]
    for twin in twins:
        _end_twin(api, str(twin.run_id))
    return oldest


def find(api: KubeflowApi, job: str) -> Any:
    """Looks a run up.

    Args:
        api: Where.
        job: Its id, or the id of its job.

    Returns:
        The run, with its tasks.

    Raises:
        UserError: If there is none.
    """
    with explained(f"read the run {job}", "JOB"):
        return api.read(api.client.runs.run_service_get_run, run_id(api, job))


def run_id(api: KubeflowApi, job: str) -> str:
    """Finds the id of a run.

    Args:
        api: Where.
        job: Its id, which is left as it is, or the id of its job.

    Returns:
        The id.

    Raises:
        UserError: If no run has that job's id.
    """
    if _RUN_ID.fullmatch(job):
        return job
    found = next(_of_job(api, api.read, job), None) if JOB_ID.fullmatch(job) else None
    if found is None:
        fix = "`jobs list` lists the runs."
        raise UserError(Problem(f"no run has the id {job!r}.", "JOB", fix=fix))
    return str(found.run_id)


def list_runs(api: KubeflowApi, state: str = "") -> Iterator[Any]:
    """Lists runs that are not archived, the newest first.

    Args:
        api: Where.
        state: One of ``jobs.STATES``; empty for all.

    Yields:
        The runs, without their tasks.
    """
    predicates = [_NOT_ARCHIVED]
    if state:
        predicates.append(predicate("state", _STATES.get(state, state.upper())))
    with explained("list the runs"):
        yield from list_all(_ask(api, api.read), *predicates)


def runs_of(api: KubeflowApi, recurring_run: str, limit: int) -> list[Any]:
    """Lists the last runs of a recurring run, the newest first.

    Args:
        api: Where.
        recurring_run: Its id.
        limit: How many at most.

    Returns:
        The runs, without their tasks.
    """
    chosen = predicate("recurring_run_id", recurring_run)
    with explained("list the runs"):
        found = list_all(_ask(api, api.read), chosen)
        return [run for _, run in zip(range(limit), found, strict=False)]


def count_of(api: KubeflowApi, recurring_run: str) -> int:
    """Counts the runs of a recurring run."""
    chosen = filter_of(predicate("recurring_run_id", recurring_run))
    page = _ask(api, api.read)(filter=chosen, page_size=1)
    return int(page.total_size or 0)


def terminate(api: KubeflowApi, job: str) -> None:
    """Asks a run to stop; one that has ended stays as it is.

    Args:
        api: Where.
        job: Its id, or the id of its job.

    Raises:
        UserError: If there is no such run, or if it has ended already.
    """
    identifier = run_id(api, job)
    service = api.client.runs
    with explained(f"cancel the run {job}", "JOB"):
        state = api.read(service.run_service_get_run, identifier).state
        if state in ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"):
            raise UserError(Problem(f"{job} has ended already.", "JOB"))
        try:
            api.read(service.run_service_terminate_run, identifier)
        except ApiException:
            # It ended, or another try was heard, while this one was on its way.
            now = api.read(service.run_service_get_run, identifier).state
            if now in ("PENDING", "RUNNING", "PAUSED"):
                raise


def _end_twin(api: KubeflowApi, identifier: str) -> None:
    service = api.client.runs
    for end in (service.run_service_terminate_run, service.run_service_delete_run):
        try:
            api.read(end, identifier)
        except ApiException as error:
            # Ended, or deleted by another try.
            if error.status not in (400, _NOT_FOUND):
                raise


def _of_job(api: KubeflowApi, call: Callable[..., Any], job_id: str) -> Iterator[Any]:
    """Lists the runs of a job's id, the oldest first: one, but for requests that came twice."""
    chosen = predicate("description", f'"{job_id}"', "IS_SUBSTRING")
    runs = list_all(_ask(api, call), chosen, sort_by="created_at")
    return (run for run in runs if RunNote.parse(run.description).key == job_id)


def _experiments(api: KubeflowApi, call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **options: call(
        api.client.experiments.experiment_service_list_experiments, **api.namespaced, **options
    )


def _ask(api: KubeflowApi, call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **options: call(
        api.client.runs.run_service_list_runs, **api.namespaced, **options
    )
