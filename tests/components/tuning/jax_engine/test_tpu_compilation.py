"""libtpu compiles for every TPU machine of the table, without one: none is too old for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.models import machine_specs

pytestmark = pytest.mark.tpu

MACHINES = load_table(machine_specs._TABLE)["machines"]
# As libtpu calls slices: chips by their places. A chip of v3 has two cores, each a device.
SLICES = {
    "tpu-v3-64": "v3:4x8x1",
    "tpu-v3-32": "v3:4x4x1",
    "tpu-v5e-4": "v5e:2x2",
    "tpu-v5e-16": "v5e:4x4",
    "tpu-v5p-8": "v5p:2x2x2",
    "tpu-v6e-4": "v6e:2x2",
    "tpu-v6e-16": "v6e:4x4",
}
# Called with a slice: how many devices it has, when a product in bfloat16 is compiled for them all.
COMPILE = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
devices = topologies.get_topology_desc(platform="tpu", topology_name=sys.argv[1]).devices
rows = NamedSharding(Mesh(np.array(devices), ("fsdp",)), PartitionSpec("fsdp"))
argument = jax.ShapeDtypeStruct((1024, 1024), jnp.bfloat16, sharding=rows)
jax.jit(lambda left, right: left @ right).lower(argument, argument).compile()
print(len(devices))
"""


def test_every_tpu_machine_has_its_slice() -> None:
    assert set(SLICES) == {name for name, row in MACHINES.items() if row["accelerator"] == "TPU"}


@pytest.mark.parametrize("name", SLICES)
def test_a_product_is_compiled_for_every_device(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, SLICES[name]], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) == MACHINES[name]["accelerator_count"]
