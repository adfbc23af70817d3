"""One of two processes of four devices each: loads a model, computes logits, writes the model."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.jax_engine.model import load_model, write_model


def main(address: str, number: str, tuning: str, folder: str) -> None:
    """Does it.

    Args:
        address: Where the first process listens.
        number: Of this process.
        tuning: "full" or "adapter".
        folder: Holds the model, tokens.npy, and the outcome.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, 2, int(number))
    place, first = Path(folder), number == "0"
    asked = TuningArguments(model_reference="model", tuning=tuning, lora_rank=4, batch_size=4)
    model = load_model(place / "base", asked, bf16=False)
    assert len(model.mesh.devices.flat) == 8
    # A process holds its own parts alone.
    weight = (model.trained | model.frozen)["model.layers.0.mlp.up_proj.weight"]
    assert len(weight.addressable_shards) == 4
    everywhere = NamedSharding(model.mesh, PartitionSpec())
    hidden = jax.jit(model.hidden, out_shardings=everywhere)
    states = hidden(model.trained, model.frozen, np.load(place / "tokens.npy"))
    if first:
        np.save(place / "hidden.npy", np.asarray(states.addressable_data(0)))
    write_model(model, model.trained, place / "base", place / "tuned" if first else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
