"""The one subclass of transformers.Trainer: whole batches, exact sums, exact resume.

Trainer keeps the loop, devices, optimiser, schedule, RNG states and distributed set-up. Overridden
is what it does differently from the published tuner: a step is one whole batch, cut into micro
batches in here, so that the loss is exact under accumulation and a lack of memory can cut finer;
metrics are sums over label tokens; a checkpoint counts only when it is whole.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

from kfp_llm_tuning.components.data.encoded_set import StepBatch
from kfp_llm_tuning.components.data.step_sampler import StepSampler
from kfp_llm_tuning.components.tuning.background_saving import BackgroundSaving
from kfp_llm_tuning.components.tuning.course import Course, evaluation_values
from kfp_llm_tuning.components.tuning.file_exchange import told_by_all
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.run_state import RunState
from kfp_llm_tuning.components.tuning.tensorboard_metrics import EVALUATION_CORRECT
from kfp_llm_tuning.components.tuning.torch_engine.checkpoint_states import CheckpointStates
from kfp_llm_tuning.components.tuning.torch_engine.host_copies import copied_where_it_fits
from kfp_llm_tuning.components.tuning.torch_engine.interruption_callback import InterruptionCallback
from kfp_llm_tuning.components.tuning.torch_engine.memory import peak_bytes
from kfp_llm_tuning.components.tuning.torch_engine.micro_batches import MicroBatches
from kfp_llm_tuning.components.tuning.torch_engine.run_settings import RunSettings
from kfp_llm_tuning.components.tuning.torch_engine.trained_weights import largest_weight
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets

# Trainer reads them by these names.
_TRAINER_STATE, _SCHEDULER = "trainer_state.json", "scheduler.pt"


class LabelOnlyTrainer(Trainer):
    """Trains on encoded examples; see the module's text for what it changes."""

    def __init__(
        self,
        model: torch.nn.Module,
        settings: RunSettings,
        sets: TuningSets,
        interruption: Interruption,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        """Prepares a run.

        Args:
            model: A causal language model, with adapters where those are tuned.
            settings: What the run is made of.
            sets: The encoded examples.
            interruption: Asked after every step.
            callbacks: Trainer callbacks; ``on_log`` gets every entry of the log history.
        """
        super().__init__(
            model=model,
            args=settings.training_arguments(evaluate=len(sets.evaluation) > 0),
            train_dataset=sets.train,
            eval_dataset=sets.evaluation if len(sets.evaluation) else None,
            callbacks=[InterruptionCallback(interruption), *callbacks],
        )
        self.remove_callback(PrinterCallback)
        self.control: TrainerControl
        arguments = settings.arguments
        self._course = Course(arguments, settings.checkpoints, bf16=settings.bf16)
        self._arguments = arguments
        self._checkpoints = settings.checkpoints
        self._evaluation_set = sets.evaluation
        self._micro_batches = MicroBatches(self.accelerator, settings.plan, settings.budget)
        self._saving = BackgroundSaving(copied_where_it_fits)
        # Adapters are held whole by every process.
        self._states = CheckpointStates(by_all=settings.sharded and arguments.tuning == "full")
        # Since the last logging.
        self._sums = self._micro_batches.zero_sums()

    @property
    def run_state(self) -> RunState:
        """The best step, whether the run has ended, its training time."""
        return self._course.run_state

    # Data

    def get_train_dataloader(self) -> DataLoader[StepBatch]:
        """Yields this process's share of each step's batch."""
        sampler = StepSampler(
            self.train_dataset,
            batch_size=self._arguments.batch_size,
            steps=self._arguments.train_steps,
            seed=self._arguments.seed,
            process=self.args.process_index,
            processes=self.args.world_size,
        )
        return DataLoader(
            self.train_dataset,
            batch_sampler=sampler,
            collate_fn=_unchanged,
            # The global generator, which dropout draws from, must not depend on sessions.
            generator=torch.Generator(),
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[StepBatch], num_batches: int, device: torch.device
    ) -> tuple[list[StepBatch], None]:
        """Takes one step's batch; it carries its own number of label tokens."""
        return [next(epoch_iterator)], None

    def floating_point_ops(self, inputs: Any) -> int:
        """Counts nothing: tokens a second are reported instead."""
        return 0

    # One step

    def training_step(
        self, model: torch.nn.Module, inputs: StepBatch, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Runs forward and backward passes of one step.

        Args:
            model: The wrapped model.
            inputs: This process's share of the batch.
            num_items_in_batch: Unused; the batch carries its own count.

        Returns:
            This process's summed loss divided by the whole batch's label tokens.
        """
        if not model.training:
            model.train()
        sums = self._micro_batches.train(model, inputs)
        self._sums += sums
        self._course.count(inputs.tokens)
        return (sums[0] / inputs.label_tokens).to(self._tr_loss.dtype)

    # Logging and evaluation

    def _maybe_log_save_evaluate(
        self,
        tr_loss: torch.Tensor,
        grad_norm: Any,
        model: torch.nn.Module,
        trial: Any,
        epoch: float,
        ignore_keys_for_eval: Any,
        start_time: float,
        learning_rate: float | None = None,
    ) -> None:
        step = self.state.global_step
        # The last steps are told too, though they may be fewer than a logging interval.
        should_log = self.control.should_log or step >= self.state.max_steps
        if should_log and step > self._globalstep_last_logged:
            self._log_training(learning_rate or 0.0)
        stop_early = False
        if self.control.should_evaluate:
            stop_early = self._log_evaluation()
        self.run_state.finished |= stop_early or step >= self.state.max_steps
        if self.control.should_save:
            self._save_checkpoint(model, trial)
            # In every process; the callbacks are told in the main one, and later.
            self.control.should_save = False
        ends = self.run_state.finished or self.control.should_training_stop
        self._tell_saved(wait=ends)

    def _log_training(self, learning_rate: float) -> None:
        sums = self.accelerator.reduce(self._sums, "sum").tolist()
        self._check_finite(sums[0])
        memory = peak_bytes(self.args.device)
        self._record(self._course.training_values(sums, learning_rate, memory))
        self._globalstep_last_logged = self.state.global_step
        self._sums.zero_()

    def _log_evaluation(self) -> bool:
        """Evaluates; returns whether training stops early."""
        with self._course.pause():
            values = self.evaluate()
            self._record(values)
            self.control = self.callback_handler.on_evaluate(
                self.args, self.state, self.control, values
            )
        verdict = self._course.judge(self.state.global_step, values[EVALUATION_CORRECT])
        self.control.should_save |= verdict.save
        self.control.should_training_stop |= verdict.stop
        return verdict.stop

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Runs the whole evaluation set.

        Returns:
            The three evaluation tags; every example counts once, whatever the processes.
        """
        sums = self._micro_batches.evaluate(self.model, self._evaluation_set)
        return evaluation_values(self.accelerator.reduce(sums, "sum").tolist())

    def _record(self, values: dict[str, float]) -> None:
        entry = {"step": self.state.global_step, **values, "wall_time": time.time()}
        self.state.log_history.append(entry)
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, entry)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Drops Trainer's own summary: it is no metric of the run, and not exact."""

    def _check_finite(self, loss: float) -> None:
        if math.isfinite(loss):
            return
        self._tell_saved(wait=True)
        raise self._course.divergence(loss, self.state.global_step)

    # Checkpoints

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        largest = torch.tensor([largest_weight(self.model)], device=self.args.device)
        self._check_finite(float(self.accelerator.gather(largest).max()))
        self._tell_saved(wait=True)
        step = self.state.global_step
        if self.args.should_save:
            self._checkpoints.begin(step)
        self.accelerator.wait_for_everyone()
        folder = self._checkpoints.writing(step)
        self._save_rng_state(str(folder))
        sums = self.accelerator.reduce(self._sums.clone(), "sum")
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            self.state.save_to_json(str(folder / _TRAINER_STATE))
            torch.save(self.lr_scheduler.state_dict(), folder / _SCHEDULER)
            self._course.state_now().save(folder, sums.tolist())
        if self.args.should_save or self._states.by_all:
            self._write_states(folder, step)

    def _save_rng_state(self, output_dir: str) -> None:
        """Writes the states of all processes from the main one, whose folder others may not see."""
        if self.args.world_size == 1:
            super()._save_rng_state(output_dir)
            return
        with tempfile.TemporaryDirectory() as own:
            super()._save_rng_state(own)
            (state,) = Path(own).iterdir()
            files = told_by_all((state.name, state.read_bytes()))
        if self.args.process_index == 0:
            for name, content in files:
                (Path(output_dir) / name).write_bytes(content)

    def _write_states(self, folder: Path, step: int) -> None:
        """Writes weights and optimiser while training goes on."""
        best_step = self._course.kept_step

        def write(states: dict[str, Any]) -> None:
            self._states.write(
                states, folder, lambda weights: self._save(str(folder), state_dict=weights)
            )
            if self.args.should_save:
                self._checkpoints.commit(step, best_step=best_step)

        self._saving.start(self._states.take(self.model, self.optimizer), write)

    def _tell_saved(self, *, wait: bool) -> None:
        """Tells the callbacks of a checkpoint that has been written since."""
        if self._saving.finished(wait=wait):
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)

    def restore(self, checkpoint: Path) -> None:
        """Takes over what this class keeps beside Trainer's own state.

        Args:
            checkpoint: A whole checkpoint.
        """
        sums = self._course.restore(checkpoint)
        if self.args.process_index == 0:  # The sums of all processes, counted once.
            self._sums.copy_(torch.tensor(sums, dtype=torch.float64))

    def load_weights(self, checkpoint: Path) -> None:
        """Loads a checkpoint's weights into the model.

        Args:
            checkpoint: A whole checkpoint.
        """
        self._load_from_checkpoint(str(checkpoint))

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        checkpoint = Path(resume_from_checkpoint)
        if self._states.reads(checkpoint):
            self._states.read_weights(self.model, checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not self._states.reads(Path(checkpoint)):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        self._states.read_optimizer(self.model, self.optimizer, Path(checkpoint))
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint, _SCHEDULER)))

    def _sync_replicated_trainable_parameters(self, model: torch.nn.Module) -> None:
        """Leaves adapters alone: they are equal, and averaged once a step, not with each pass."""

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Warns of weights that are missing, but for tied ones, which a checkpoint holds once."""
        tied = self.model.all_tied_weights_keys
        missing = [name for name in load_result.missing_keys if name not in tied]
        super()._issue_warnings_after_load(load_result._replace(missing_keys=missing))

    def load_finished(self, checkpoint: Path) -> None:
        """Takes over a run that had come to its end, without training.

        Args:
            checkpoint: Its last checkpoint, already restored.
        """
        self.load_weights(checkpoint)
        self.state = TrainerState.load_from_json(str(checkpoint / _TRAINER_STATE))

    def run(self, checkpoint: Path | None) -> None:
        """Trains to the end, or until interrupted.

        Args:
            checkpoint: Where to go on from, already restored; None begins anew.
        """
        self._course.begin()
        with contextlib.closing(self._saving):
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        self.accelerator.wait_for_everyone()
        self._course.end()


def _unchanged(batch: StepBatch) -> StepBatch:
    return batch
