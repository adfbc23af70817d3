"""The loop of a run: whole batches in passes of fixed shapes, exact sums, exact resume."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from transformers import TrainerCallback, TrainerControl, TrainerState

from kfp_llm_tuning.components.data.encoded_set import StepBatch
from kfp_llm_tuning.components.data.step_sampler import StepSampler
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.background_saving import BackgroundSaving
from kfp_llm_tuning.components.tuning.course import Course, evaluation_values
from kfp_llm_tuning.components.tuning.engine import RunInputs
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.jax_engine.checkpoint_states import (
    own_parts,
    read_parts,
    write_parts,
)
from kfp_llm_tuning.components.tuning.jax_engine.device_memory import peak_bytes
from kfp_llm_tuning.components.tuning.jax_engine.model import JaxModel
from kfp_llm_tuning.components.tuning.jax_engine.optimiser import Moments, Optimiser, zeros_like
from kfp_llm_tuning.components.tuning.jax_engine.programs import Programs
from kfp_llm_tuning.components.tuning.jax_engine.token_buckets import TokenBuckets
from kfp_llm_tuning.components.tuning.tensorboard_metrics import EVALUATION_CORRECT

# As the torch engine's checkpoints name it.
_STATE = "trainer_state.json"


@dataclass(frozen=True)
class _World:
    """What callbacks ask Trainer's arguments for."""

    world_size: int
    process_index: int


class Loop:
    """Trains, evaluates and saves as the torch engine's Trainer does.

    Attributes:
        state: Steps done and the log history.
        course: Evaluations, the best step, the end, the training time.
        trained: The weights.
    """

    def __init__(
        self,
        model: JaxModel,
        inputs: RunInputs,
        buckets: TokenBuckets,
        interruption: Interruption,
        callbacks: Sequence[TrainerCallback],
        *,
        bf16: bool,
    ) -> None:
        """Prepares a run.

        Args:
            model: The loaded model.
            inputs: What the run begins with.
            buckets: Shapes of the passes.
            interruption: Asked after every step.
            callbacks: Told as Trainer tells its own.
            bf16: Whether the run computes in bfloat16.
        """
        self.trained = model.trained
        self._frozen = model.frozen
        self._arguments, self._sets = inputs.arguments, inputs.sets
        self._checkpoints = inputs.checkpoints
        self._buckets = buckets
        self._optimiser = Optimiser(inputs.arguments)
        self._moments = self._optimiser.first_moments(model.trained)
        self._programs = Programs(model, self._optimiser)
        self._interruption = interruption
        self._callbacks = callbacks
        self._world = _World(processes.count(), processes.index())
        self._control = TrainerControl()
        self._saving = BackgroundSaving(lambda parts: parts)
        self.course = Course(inputs.arguments, inputs.checkpoints, bf16=bf16)
        main = processes.is_main()
        self.state = TrainerState(
            max_steps=inputs.arguments.train_steps,
            is_world_process_zero=main,
            is_local_process_zero=main,
        )
        # Since the last logging: what was fetched, and what may still be under way.
        self._sums: NDArray[np.float64] = np.zeros(3)
        self._unfetched: list[jax.Array] = []
        self._logged_step = 0

    def run(self, checkpoint: Path | None) -> None:
        """Trains to the end, or until interrupted.

        Args:
            checkpoint: Where to go on from, already restored; None begins anew.
        """
        if checkpoint:
            self._read(checkpoint)
        self.course.begin()
        self._tell("on_train_begin")
        with contextlib.closing(self._saving):
            self._train()
        self._tell("on_train_end")
        self.course.end()

    def _train(self) -> None:
        done, asked = self.state.global_step, self._arguments
        # Every process reads the plan of all: which rows it lays out is decided by its devices.
        sampler = StepSampler(
            self._sets.train, batch_size=asked.batch_size, steps=asked.train_steps, seed=asked.seed
        )
        for number, plan in enumerate(sampler):
            if number < done:
                continue
            if self._step(self._sets.train.__getitems__(plan)):
                return

    def _step(self, batch: StepBatch) -> bool:
        """Trains on one batch; tells whether the run ends with it."""
        asked, step = self._arguments, self.state.global_step
        gradients = zeros_like(self.trained)
        for part in self._buckets.fill_with(batch.sequences):
            placed = self._programs.put(part, batch.sequences)
            gradients, sums = self._programs.accumulate(
                self.trained, self._frozen, gradients, placed, 1 / batch.label_tokens
            )
            self._unfetched.append(sums)
        rate = self._optimiser.learning_rate(step)
        self.trained, self._moments = self._programs.apply(
            self.trained, self._moments, gradients, step, rate
        )
        self.course.count(batch.tokens)
        step += 1
        self.state.global_step = step
        self.state.epoch = step * asked.batch_size / self._sets.train.examples
        self._tell("on_step_end")
        last = step >= asked.train_steps
        stops = self._interruption.requested_of_any() and not last
        save = stops or last or step % asked.steps_between_checkpoints == 0
        if last or step % asked.logging_interval == 0:
            self._log_training(rate)
        if len(self._sets.evaluation) and (last or step % asked.evaluation_interval == 0):
            verdict = self._log_evaluation()
            save |= verdict.save
            last |= verdict.stop
        self.course.run_state.finished |= last
        if save:
            self._save()
        self._tell_saved(wait=last or stops)
        return last or stops

    # Logging and evaluation

    def _log_training(self, rate: float) -> None:
        self._fetch_sums()
        self._check_finite(float(self._sums[0]))
        values = self.course.training_values(self._sums.tolist(), rate, peak_bytes())
        self._record(values)
        self._sums = np.zeros(3)

    def _fetch_sums(self) -> None:
        for sums in self._unfetched:
            self._sums += np.asarray(sums, dtype=np.float64)
        self._unfetched = []

    def _log_evaluation(self) -> Any:
        with self.course.pause():
            values = self.evaluate()
            self._record(values)
            self._tell("on_evaluate", metrics=values)
        return self.course.judge(self.state.global_step, values[EVALUATION_CORRECT])

    def evaluate(self) -> dict[str, float]:
        """Runs the whole evaluation set; gives the three tags."""
        encoded, asked = self._sets.evaluation, self._arguments
        rows = np.argsort(-encoded.lengths, kind="stable").tolist()
        found = []
        # So many at once are laid out well, and no more are held.
        for first in range(0, len(rows), asked.batch_size):
            sequences = [encoded.sequence(row) for row in rows[first : first + asked.batch_size]]
            for part in self._buckets.fill_with(sequences):
                placed = self._programs.put(part, sequences)
                found.append(self._programs.evaluate(self.trained, self._frozen, placed))
        return evaluation_values(np.sum(np.asarray(found, dtype=np.float64), axis=0).tolist())

    def _record(self, values: dict[str, float]) -> None:
        entry = {"step": self.state.global_step, **values, "wall_time": time.time()}
        self.state.log_history.append(entry)
        self._tell("on_log", logs=entry)

    def _tell(self, event: str, **values: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(self._world, self.state, self._control, **values)

    def _check_finite(self, value: float) -> None:
        if not math.isfinite(value):
            self._tell_saved(wait=True)
            raise self.course.divergence(value, self.state.global_step)

    # Checkpoints

    def _save(self) -> None:
        self._check_finite(self._programs.largest(self.trained))
        self._tell_saved(wait=True)
        self._fetch_sums()
        step, kept = self.state.global_step, self.course.kept_step
        folder = self._checkpoints.begin(step)
        self.state.save_to_json(str(folder / _STATE))
        self.course.state_now().save(folder, self._sums.tolist())

        def write(parts: Any) -> None:
            write_parts(parts, folder, processes.index())
            self._checkpoints.commit(step, best_step=kept)

        self._saving.start(own_parts(self._named()), write)

    def _tell_saved(self, *, wait: bool) -> None:
        if self._saving.finished(wait=wait):
            self._tell("on_save")

    def _named(self) -> dict[str, jax.Array]:
        """Names all that a checkpoint holds of the devices."""
        kinds = {
            "trained": self.trained,
            "mean": self._moments.mean,
            "square": self._moments.square,
        }
        return {
            f"{kind}/{name}": array
            for kind, arrays in kinds.items()
            for name, array in arrays.items()
        }

    def _read(self, checkpoint: Path) -> None:
        found = read_parts(checkpoint, self._named())

        def of(kind: str) -> dict[str, jax.Array]:
            return {name: found[f"{kind}/{name}"] for name in self.trained}

        self.trained, self._moments = of("trained"), Moments(of("mean"), of("square"))
        self._read_state(checkpoint)

    def _read_state(self, checkpoint: Path) -> None:
        main = self.state.is_world_process_zero
        self.state = TrainerState.load_from_json(str(checkpoint / _STATE))
        self.state.is_world_process_zero = self.state.is_local_process_zero = main

    def restore(self, checkpoint: Path) -> None:
        """Takes over what a checkpoint remembers beside weights and history."""
        self._sums = np.array(self.course.restore(checkpoint))

    def load_weights(self, checkpoint: Path) -> None:
        """Loads a checkpoint's weights alone."""
        like = {f"trained/{name}": array for name, array in self.trained.items()}
        found = read_parts(checkpoint, like)
        self.trained = {name.removeprefix("trained/"): array for name, array in found.items()}

    def load_finished(self, checkpoint: Path) -> None:
        """Takes over a run that had come to its end, without training."""
        self.load_weights(checkpoint)
        self._read_state(checkpoint)
