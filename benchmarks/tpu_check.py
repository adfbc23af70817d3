"""Says in a minute what a machine with TPUs does with the environment of the image tpu.

It prints versions and devices, and times two things in bfloat16: a product of large matrices on
every device, beside the data sheet's rate, and a product whose parts lie on all devices, which
goes over the links between them. docs/tpu.md has what it should print.

    python benchmarks/tpu_check.py [--anywhere]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# Operations a second of a device in bfloat16 (https://cloud.google.com/tpu/docs/system-architecture-tpu-vm),
# by the kinds that JAX tells (jax/_src/pallas/mosaic/tpu_info.py); a device of v3 is half a chip.
DATA_SHEET = {
    "TPU v3": 61.5e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
}
_ROUNDS = 10


def main() -> None:
    """Prints a line a check; ends with 1 where there is no TPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anywhere", action="store_true", help="small, on whatever JAX finds")
    options = parser.parse_args()
    devices = jax.devices()
    kind = devices[0].device_kind
    print(", ".join(f"{name} {version(name)}" for name in ("jax", "libtpu", "google-tunix")))
    print(f"{len(devices)} devices of {jax.process_count()} processes: {kind}")
    if devices[0].platform != "tpu" and not options.anywhere:
        sys.exit("There is no TPU here, or libtpu does not drive it.")
    size = 512 if options.anywhere else 16_384
    mesh = Mesh(np.array(devices), ("fsdp",))
    whole = jnp.ones((size, size), jnp.bfloat16, device=NamedSharding(mesh, PartitionSpec()))
    rows = jnp.ones((size, size), jnp.bfloat16, device=NamedSharding(mesh, PartitionSpec("fsdp")))
    for title, left, right in (("rows by a whole", rows, whole), ("rows by rows", rows, rows)):
        rate = 2 * size**3 / _seconds(jax.jit(jnp.matmul), left, right) / len(devices)
        peak = DATA_SHEET.get(kind)
        share = f", {rate / peak:.0%} of the data sheet" if peak else ""
        print(f"{title}: {rate / 1e12:,.1f} TFLOP/s a device{share}")


def _seconds(program: Callable[..., jax.Array], *arguments: jax.Array) -> float:
    """Times a program that is compiled already."""
    program(*arguments).block_until_ready()
    start = time.perf_counter()
    for _ in range(_ROUNDS):
        outcome = program(*arguments)
    outcome.block_until_ready()
    return (time.perf_counter() - start) / _ROUNDS


if __name__ == "__main__":
    main()
