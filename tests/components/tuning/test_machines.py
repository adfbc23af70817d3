from __future__ import annotations

import json

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning.machines import Machines, machines_of_run

CLUSTER = {
    "workerpool0": ["cmle-training-workerpool0-ab-0:2222"],
    "workerpool1": [f"cmle-training-workerpool1-ab-{index}:2222" for index in range(3)],
}


@pytest.mark.parametrize(
    ("pool", "index", "expected"),
    [("workerpool0", 0, 0), ("workerpool1", 0, 1), ("workerpool1", 2, 3)],
)
def test_vertex_ai_counts_the_replicas_pool_by_pool(pool: str, index: int, expected: int) -> None:
    spec = {"cluster": CLUSTER, "task": {"type": pool, "index": index}, "environment": "cloud"}
    found = machines_of_run({"CLUSTER_SPEC": json.dumps(spec)})
    assert found == Machines(4, expected, "cmle-training-workerpool0-ab-0", 2222)
    assert found.is_first == (expected == 0)


@pytest.mark.parametrize(
    "cluster",
    ["", "{", "[]", '{"cluster": {}}', '{"cluster": {"workerpool0": ["a:1"]}, "task": {}}'],
)
def test_one_machine_where_nothing_is_said_of_others(cluster: str) -> None:
    assert machines_of_run({"CLUSTER_SPEC": cluster}) == Machines()


@pytest.mark.parametrize(
    "task", [{}, {"type": "workerpool2", "index": 0}, {"type": "workerpool1", "index": 3}]
)
def test_one_of_several_replicas_does_not_tune_for_itself(task: dict[str, object]) -> None:
    with pytest.raises(UserError, match="names 4 replicas, and not which of them this is"):
        machines_of_run({"CLUSTER_SPEC": json.dumps({"cluster": CLUSTER, "task": task})})


def test_replicas_of_a_job_know_its_id() -> None:
    task = {"type": "workerpool1", "index": 0}
    spec = {"CLUSTER_SPEC": json.dumps({"cluster": CLUSTER, "task": task}), "CLOUD_ML_JOB_ID": "7"}
    assert machines_of_run(spec).job == "7"


def test_one_replica_is_one_machine() -> None:
    pool = {"workerpool0": CLUSTER["workerpool0"]}
    spec = {"cluster": pool, "task": {"type": "workerpool0", "index": 0}}
    assert machines_of_run({"CLUSTER_SPEC": json.dumps(spec)}) == Machines()


def test_torchruns_variables_as_kubeflow_trainer_sets_them() -> None:
    variables = {
        "PET_NNODES": "2",
        "PET_NODE_RANK": "1",
        "PET_MASTER_ADDR": "job-node-0-0.job",
        "PET_MASTER_PORT": "29400",
    }
    assert machines_of_run(variables) == Machines(2, 1, "job-node-0-0.job", 29400)
    assert machines_of_run(variables | {"PET_NNODES": "1"}) == Machines()


@pytest.mark.parametrize(
    ("changes", "place"),
    [({"PET_NODE_RANK": "2"}, "PET_NODE_RANK"), ({"PET_NNODES": "1:4"}, "PET_NNODES")],
)
def test_variables_that_do_not_fit_are_a_mistake(changes: dict[str, str], place: str) -> None:
    variables = {"PET_NNODES": "2", "PET_NODE_RANK": "0", "PET_MASTER_ADDR": "first"}
    assert machines_of_run(variables).port == 29400
    with pytest.raises(UserError) as refused:
        machines_of_run(variables | changes)
    assert refused.value.problems[0].where == place
