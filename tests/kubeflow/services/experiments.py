"""ExperimentService: experiments, which runs belong to."""

from __future__ import annotations

import uuid
from typing import Any

from tests.kubeflow.backend import Backend, Call, Message, fetch, serves
from tests.kubeflow.errors import already_exists, internal, invalid
from tests.kubeflow.listing import list_page
from tests.kubeflow.messages import check, without_empty, write_time

_FIELDS = (
    "id", "experiment_id", "name", "display_name", "created_at", "last_run_created_at",
    "description", "namespace", "storage_state",
)  # fmt: skip
_DEFAULT = "Default"
_MAXIMAL_NAME = 128


@serves("POST", "/apis/v2beta1/experiments", "ExperimentService.CreateExperiment")
def create_experiment(backend: Backend, call: Call) -> Message:
    """Store a new experiment."""
    body = check(call.body, "V2beta1Experiment")
    name = body.get("display_name", "")
    if not name:
        raise internal("Experiment must have a non-empty name")
    if len(name) > _MAXIMAL_NAME:
        raise internal(f"Experiment.Name length cannot exceed {_MAXIMAL_NAME}")
    namespace = backend.namespace(body.get("namespace", ""))
    if _named(backend, name, namespace):
        raise already_exists(
            f"Failed to create a new experiment. The name {name} already exists. Please specify "
            "a new name"
        )
    return _add(backend, name, namespace, body.get("description", ""))


@serves("GET", "/apis/v2beta1/experiments/{experiment_id}", "ExperimentService.GetExperiment")
def get_experiment(backend: Backend, call: Call) -> Message:
    """Answer with an experiment."""
    found: Message = fetch(backend.experiments, "Experiment", call.path["experiment_id"])
    return without_empty(found)


@serves("GET", "/apis/v2beta1/experiments", "ExperimentService.ListExperiments")
def list_experiments(backend: Backend, call: Call) -> Message:
    """List the experiments of a namespace."""
    _default(backend)
    namespace = backend.namespace(call.query.get("namespace", ""))
    items = [one for one in backend.experiments.values() if one["namespace"] == namespace]
    page, size, token = list_page(items, call.query, _FIELDS, "experiment_id")
    return without_empty(
        {
            "experiments": [without_empty(one) for one in page],
            "total_size": size,
            "next_page_token": token,
        }
    )


@serves("POST", "/apis/v2beta1/experiments/{experiment_id}:archive", "ExperimentService.Archive")
def archive_experiment(backend: Backend, call: Call) -> Message:
    """Archive an experiment with its runs."""
    found = fetch(backend.experiments, "Experiment", call.path["experiment_id"])
    found["storage_state"] = "ARCHIVED"
    for run in backend.runs.values():
        if run.message["experiment_id"] == found["experiment_id"]:
            run.message["storage_state"] = "ARCHIVED"
    return {}


@serves(
    "POST", "/apis/v2beta1/experiments/{experiment_id}:unarchive", "ExperimentService.Unarchive"
)
def unarchive_experiment(backend: Backend, call: Call) -> Message:
    """Take an experiment, without its runs, out of the archive."""
    found = fetch(backend.experiments, "Experiment", call.path["experiment_id"])
    found["storage_state"] = "AVAILABLE"
    return {}


@serves("DELETE", "/apis/v2beta1/experiments/{experiment_id}", "ExperimentService.DeleteExperiment")
def delete_experiment(backend: Backend, call: Call) -> Message:
    """Delete an experiment that is not the default one."""
    found = fetch(backend.experiments, "Experiment", call.path["experiment_id"])
    if found["display_name"] == _DEFAULT:
        raise invalid("The default experiment cannot be deleted")
    del backend.experiments[found["experiment_id"]]
    return {}


def experiment_of(backend: Backend, identifier: str, namespace: str) -> Message:
    """The experiment that a run is to belong to.

    Args:
        backend: The state.
        identifier: Its id; empty for the default one, where there is one user.
        namespace: That of the run; may be empty.

    Returns:
        The experiment.

    Raises:
        ApiError: there is none (404), it is needed, or it is in another namespace (400).
    """
    if not identifier and backend.multi_user:
        raise invalid("Experiment id can not be empty in multi-user mode")
    if not identifier:
        return _default(backend)
    found: Message = fetch(backend.experiments, "Experiment", identifier)
    if namespace and namespace != found["namespace"]:
        raise invalid(
            f"Experiment {identifier} belongs to namespace '{found['namespace']}' instead of "
            f"'{namespace}'"
        )
    backend.namespace(found["namespace"])
    return found


def _default(backend: Backend) -> Message:
    """The experiment that the server makes when it is installed; none for many users."""
    if backend.multi_user:
        return {}
    found = _named(backend, _DEFAULT, "")
    text = "All runs created without specifying an experiment will be grouped here."
    return found or _add(backend, _DEFAULT, "", text)


def _named(backend: Backend, name: str, namespace: str) -> Message | None:
    """The experiment of a name: the database knows no case."""
    for one in backend.experiments.values():
        same_name = one["display_name"].casefold() == name.casefold()
        if same_name and one["namespace"] == namespace:
            return one
    return None


def _add(backend: Backend, name: str, namespace: str, description: str) -> Message:
    experiment: dict[str, Any] = {
        "experiment_id": str(uuid.uuid4()),
        "display_name": name,
        "description": description,
        "created_at": write_time(backend.clock.now()),
        "last_run_created_at": write_time(None),
        "namespace": namespace,
        "storage_state": "AVAILABLE",
    }
    backend.experiments[experiment["experiment_id"]] = experiment
    return experiment
