"""What a CustomJob is told of its machines: nothing that Vertex AI refuses."""

from __future__ import annotations

import pytest
from google.cloud.aiplatform_v1 import types

from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.models import machine_specs
from kfp_llm_tuning.components.models.machine_specs import MachineSpec
from kfp_llm_tuning.components.models.worker_pool import machine_spec, without_empty, worker_pools
from tests.vertex.machines import check_machine

MACHINES = load_table(machine_specs._TABLE)["machines"]
# Machines of GKE and Compute Engine that Vertex AI's documentation of training does not name.
UNNAMED = {"tpu-v5p-8"}


def of_table(name: str) -> MachineSpec:
    return MachineSpec(name=name, **MACHINES[name])


@pytest.mark.parametrize("name", MACHINES)
def test_a_count_is_sent_beside_a_type_alone(name: str) -> None:
    sent = without_empty(machine_spec(of_table(name)))
    assert ("accelerator_count" in sent) == ("accelerator_type" in sent)
    if name not in UNNAMED:
        check_machine("machine_spec", types.MachineSpec(sent))


def test_newer_tpus_are_told_by_their_topology_and_older_ones_by_their_cores() -> None:
    (pool,) = worker_pools(of_table("tpu-v6e-16"), "image", ["python3", "-m", "module"], "")
    assert pool["replica_count"] == 1
    assert without_empty(pool["machine_spec"]) == {
        "machine_type": "ct6e-standard-4t",
        "tpu_topology": "4x4",
    }
    assert without_empty(machine_spec(of_table("tpu-v3-64"))) == {
        "machine_type": "cloud-tpu",
        "accelerator_type": "TPU_V3",
        "accelerator_count": 64,
    }
