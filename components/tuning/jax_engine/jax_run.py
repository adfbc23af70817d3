"""One run of this engine's loop, as the outline of a run calls it."""

from __future__ import annotations

from pathlib import Path

import jax
from transformers import TrainerState

from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.engine import Computation
from kfp_llm_tuning.components.tuning.jax_engine.device_memory import peak_bytes
from kfp_llm_tuning.components.tuning.jax_engine.loop import Loop
from kfp_llm_tuning.components.tuning.jax_engine.model import JaxModel, write_model
from kfp_llm_tuning.components.tuning.jax_engine.token_buckets import TokenBuckets
from kfp_llm_tuning.components.tuning.run_state import RunState

_PACKAGES = ("jax", "jaxlib", "flax", "google-tunix", "optax", "transformers")


class JaxRun:
    """See :class:`kfp_llm_tuning.components.tuning.engine.EngineRun`."""

    def __init__(
        self, model: JaxModel, base: Path, loop: Loop, buckets: TokenBuckets, *, bf16: bool
    ) -> None:
        """Takes what the engine prepared.

        Args:
            model: The model as it was loaded.
            base: Its checkpoint.
            loop: That trains it.
            buckets: Shapes of the passes.
            bf16: Whether it computes in bfloat16.
        """
        self._model, self._base, self._loop = model, base, loop
        device = model.mesh.devices.flat[0]
        shapes = ", ".join(f"{one.rows} x {one.length}" for one in buckets.buckets)
        self.computation = Computation(
            device=f"{device.device_kind} x {model.mesh.size}",
            bf16=bf16,
            dtype=model.dtype,
            trained_parameters=sum(weight.size for weight in model.trained.values()),
            limits=f"passes of {shapes} tokens",
            packages=_PACKAGES,
        )

    @property
    def state(self) -> TrainerState:
        """Steps done and the log history."""
        return self._loop.state

    @property
    def run_state(self) -> RunState:
        """The best step, whether the run has ended, its training time."""
        return self._loop.course.run_state

    def restore(self, checkpoint: Path) -> None:
        """Takes over what a checkpoint remembers."""
        self._loop.restore(checkpoint)

    def run(self, checkpoint: Path | None) -> None:
        """Trains to the end, or until interrupted."""
        self._loop.run(checkpoint)

    def load_finished(self, checkpoint: Path) -> None:
        """Takes over a run that had come to its end."""
        self._loop.load_finished(checkpoint)

    def load_weights(self, checkpoint: Path) -> None:
        """Loads a checkpoint's weights."""
        self._loop.load_weights(checkpoint)

    def peak_memory_bytes(self) -> int:
        """Tells the most memory that this process has held."""
        return peak_bytes()

    def write_model(self, folder: Path | None) -> None:
        """Writes configuration and weights; every process must call it."""
        write_model(self._model, self._loop.trained, self._base, folder)

    def wait_for_all(self) -> None:
        """Waits for the other processes."""
        processes.any_of_all(False)
        jax.block_until_ready(self._loop.trained)
