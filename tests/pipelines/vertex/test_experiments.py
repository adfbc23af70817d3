"""Runs in experiments, against the local Vertex AI."""

from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.pipelines.vertex import experiments, jobs
from tests.vertex.faults import Kind
from tests.vertex.local_vertex import LocalVertex

STORE = "projects/test-project/locations/us-central1/metadataStores/default"


@pytest.fixture
def job(vertex_server: LocalVertex, place: Vertex, job_body: dict[str, Any]) -> str:
    return str(jobs.create(place, "job-1", job_body).name)


def experiment(server: LocalVertex) -> list[dict[str, Any]]:
    contexts = server.resources("contexts")
    return [one for one in contexts if one.get("schemaTitle") == "system.Experiment"]


def parents_of_the_run(server: LocalVertex) -> list[str]:
    contexts = server.resources("contexts")
    (run,) = [one for one in contexts if one["name"].endswith("/job-1")]
    return list(run["parentContexts"])


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("kind", ["unavailable", "reset", "duplicate"])
@pytest.mark.parametrize("method", ["GetContext", "CreateContext", "AddContextChildren"])
def test_a_run_is_added_once_whatever_goes_wrong(
    vertex_server: LocalVertex,
    no_backoff: None,
    place: Vertex,
    job: str,
    method: str,
    kind: Kind,
    after_commit: bool,
) -> None:
    vertex_server.faults.inject(f"MetadataService.{method}", kind, 1, after_commit)
    experiments.add_run(place, "trials", job)
    (made,) = experiment(vertex_server)
    assert (made["name"], made["displayName"]) == (f"{STORE}/contexts/trials", "trials")
    assert parents_of_the_run(vertex_server).count(made["name"]) == 1


def test_an_experiment_that_is_there_is_taken(
    vertex_server: LocalVertex, place: Vertex, job: str
) -> None:
    experiments.add_run(place, "trials", job)
    experiments.add_run(place, "trials", job)
    assert len(experiment(vertex_server)) == 1


@pytest.mark.parametrize("name", ["Trials", "-a", "a b", "x" * 129])
def test_bad_names(name: str) -> None:
    with pytest.raises(UserError, match="names no experiment"):
        experiments.check_name(name)


@pytest.mark.parametrize("name", ["", "trials", "2-b"])
def test_good_names(name: str) -> None:
    experiments.check_name(name)
