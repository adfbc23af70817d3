"""The one subclass of transformers.Trainer: exact sums, label-only logits, exact resume.

Trainer keeps the loop, devices, optimiser, schedule, RNG states and distributed set-up. Overridden
is what it does differently from the published tuner: a step is one whole batch, cut into micro
batches in here, so that the loss is exact under accumulation and a lack of memory can cut finer;
metrics are sums over label tokens; a checkpoint counts only when it is whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.batching import (
    EncodedSet,
    Example,
    StepBatch,
    StepSampler,
    collate,
    evaluation_plan,
)
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.early_stopping import BestStep, EarlyStopping
from kfp_llm_tuning.components.tuning.interruption import Interruption
from kfp_llm_tuning.components.tuning.label_only_loss import (
    label_logits,
    label_loss,
    plan_forward,
)
from kfp_llm_tuning.components.tuning.memory import peak_bytes
from kfp_llm_tuning.components.tuning.tensorboard_metrics import (
    EVALUATION_CORRECT,
    EVALUATION_COUNT,
    EVALUATION_LOSS,
    TRAIN_CORRECT,
    TRAIN_COUNT,
    TRAIN_LOSS,
)

logger = logging.getLogger(__name__)

_TUNER_STATE = "tuner_state.json"
_TRAINER_STATE = "trainer_state.json"
# Widths that are multiples of it use the tensor cores of GPUs.
_CUDA_WIDTH = 8


@dataclass(frozen=True)
class RunSettings:
    """What a run is made of besides its arguments.

    Attributes:
        arguments: The checked arguments.
        checkpoints: Where checkpoints go; claimed by the caller.
        bf16: Whether to compute in bfloat16 by autocast.
        micro_batch_size: Examples in one forward pass of one device.
        gradient_checkpointing: Whether layers are recomputed in the backward pass.
        use_cpu: Whether to leave an accelerator alone.
    """

    arguments: TuningArguments
    checkpoints: CheckpointDirectory
    bf16: bool
    micro_batch_size: int
    gradient_checkpointing: bool = False
    use_cpu: bool = False

    def training_arguments(self, *, evaluate: bool) -> TrainingArguments:
        """Translates into Trainer's own arguments.

        Args:
            evaluate: Whether there is an evaluation set.

        Returns:
            Arguments under which Trainer reports nothing by itself.
        """
        asked = self.arguments
        return TrainingArguments(
            output_dir=str(self.checkpoints.path),
            max_steps=asked.train_steps,
            per_device_train_batch_size=asked.batch_size,
            learning_rate=asked.peak_learning_rate,
            lr_scheduler_type="constant_with_warmup"
            if asked.schedule == "constant"
            else asked.schedule,
            warmup_steps=asked.warmup_steps,
            weight_decay=asked.weight_decay,
            adam_beta1=asked.adam_beta1,
            adam_beta2=asked.adam_beta2,
            max_grad_norm=asked.max_grad_norm,
            bf16=self.bf16,
            use_cpu=self.use_cpu,
            **self._recomputation(),
            seed=asked.seed,
            logging_steps=asked.logging_interval,
            logging_nan_inf_filter=False,
            eval_strategy="steps" if evaluate else "no",
            eval_steps=asked.evaluation_interval if evaluate else None,
            save_strategy="steps",
            save_steps=asked.steps_between_checkpoints,
            ddp_find_unused_parameters=False,
            disable_tqdm=True,
            report_to="none",
        )

    def _recomputation(self) -> dict[str, bool]:
        """Names the switch as this version of transformers does."""
        if not self.gradient_checkpointing:
            return {}
        names = {field.name for field in dataclasses.fields(TrainingArguments)}
        new, old = "activation_checkpointing", "gradient_checkpointing"
        return {new if new in names else old: True}


class LabelOnlyTrainer(Trainer):
    """Trains on encoded examples; see the module's text for what it changes.

    Attributes:
        best: Step of the best evaluation.
        finished: Whether the run has come to its end: all steps, or early stopping.
        seconds: Training time, sessions before a resume included.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        settings: RunSettings,
        train_set: EncodedSet,
        evaluation_set: EncodedSet,
        interruption: Interruption,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        """Prepares a run.

        Args:
            model: A causal language model, with adapters where those are tuned.
            settings: What the run is made of.
            train_set: At least one example.
            evaluation_set: May be empty.
            interruption: Asked after every step.
            callbacks: Trainer callbacks; ``on_log`` gets every entry of the log history.
        """
        super().__init__(
            model=model,
            args=settings.training_arguments(evaluate=len(evaluation_set) > 0),
            train_dataset=train_set,
            eval_dataset=evaluation_set if len(evaluation_set) else None,
            callbacks=[_InterruptionCallback(interruption), *callbacks],
        )
        self.remove_callback(PrinterCallback)
        self.control: TrainerControl
        arguments = settings.arguments
        self.best = BestStep()
        self.finished = False
        self.seconds = 0.0
        self._arguments = arguments
        self._checkpoints = settings.checkpoints
        self._micro_batch_size = settings.micro_batch_size
        self._evaluation_set = evaluation_set
        self._plan = plan_forward(self.model)
        self._early_stopping = EarlyStopping(
            arguments.early_stopping_patience, arguments.early_stopping_tolerance
        )
        # Summed loss, correct predictions and predictions since the last logging.
        self._sums = torch.zeros(3, dtype=torch.float64, device=self.args.device)
        self._tokens = 0
        self._window_began = self._session_began = time.perf_counter()
        logger.info("Forward pass: %s.", self._plan.describe())

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
        """Runs forward and backward passes of one step; cuts finer where memory ends.

        Args:
            model: The wrapped model.
            inputs: This process's share of the batch.
            num_items_in_batch: Unused; the batch carries its own count.

        Returns:
            This process's summed loss divided by the whole batch's label tokens.

        Raises:
            UserError: If not even one example fits in memory.
        """
        if not model.training:
            model.train()
        while True:
            try:
                sums = self._accumulate(model, inputs)
                break
            except RuntimeError as error:
                if not should_reduce_batch_size(error):
                    raise
                self._cut_finer(error)
            model.zero_grad()
            clear_device_cache(garbage_collection=True)
        self._sums += sums
        self._tokens += inputs.tokens
        return (sums[0] / inputs.label_tokens).to(self._tr_loss.dtype)

    def _accumulate(self, model: torch.nn.Module, step: StepBatch) -> torch.Tensor:
        sums = torch.zeros_like(self._sums)
        # DistributedDataParallel averages gradients over processes; the loss is a sum.
        scale = self.args.world_size / step.label_tokens
        parts = _parts(step.examples, self._micro_batch_size)
        for number, part in enumerate(parts, start=1):
            last = number == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                loss, correct, count = self._forward(model, part)
                self.accelerator.backward(loss * scale)
            sums += torch.stack((loss.detach().double(), correct.double(), count))
        return sums

    def _forward(
        self, model: torch.nn.Module, examples: Sequence[Example]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        width = _CUDA_WIDTH if self.args.device.type == "cuda" else 1
        batch = collate(examples, multiple_of=width).to(self.args.device)
        loss, correct = label_loss(label_logits(model, batch, self._plan), batch.targets)
        count = torch.tensor(len(batch.targets), dtype=torch.float64, device=loss.device)
        return loss, correct, count

    def _cut_finer(self, error: RuntimeError) -> None:
        if self._micro_batch_size == 1 or self.args.world_size > 1:
            raise UserError(
                Problem(
                    f"out of memory with micro batches of {self._micro_batch_size} "
                    f"({str(error).splitlines()[0]}).",
                    "micro_batch_size",
                    fix="Lower micro_batch_size or the token limits, tune adapters, "
                    "or take a machine with more memory.",
                )
            ) from error
        self._micro_batch_size = max(self._micro_batch_size // 2, 1)
        logger.warning(
            "Out of memory: micro batches of %d from here on; the batch stays %d.",
            self._micro_batch_size,
            self._arguments.batch_size,
        )

    # Logging, evaluation, checkpoints

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
        if self.control.should_log and step > self._globalstep_last_logged:
            self._log_training(learning_rate or 0.0)
        stop_early = False
        if self.control.should_evaluate:
            stop_early = self._log_evaluation()
        self.finished = self.finished or stop_early or step >= self.state.max_steps
        if self.control.should_save:
            self._save_checkpoint(model, trial)
            self.control = self.callback_handler.on_save(self.args, self.state, self.control)

    def _log_training(self, learning_rate: float) -> None:
        loss, correct, count = self.accelerator.reduce(self._sums, "sum").tolist()
        self._check_finite(loss)
        now = time.perf_counter()
        self._record(
            {
                TRAIN_LOSS: loss / count,
                TRAIN_CORRECT: correct / count,
                TRAIN_COUNT: count,
                "learning_rate": learning_rate,
                "tokens_per_second": self._tokens / (now - self._window_began),
                "memory_bytes": peak_bytes(self.args.device),
            }
        )
        self._globalstep_last_logged = self.state.global_step
        self._sums.zero_()
        self._tokens, self._window_began = 0, now

    def _log_evaluation(self) -> bool:
        """Evaluates; returns whether training stops early."""
        began = time.perf_counter()
        values = self.evaluate()
        self._record(values)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, values
        )
        self._window_began += time.perf_counter() - began
        step, accuracy = self.state.global_step, values[EVALUATION_CORRECT]
        if self.best.update(step, accuracy) and self._arguments.enable_checkpoint_selection:
            self.control.should_save = True
        if self._early_stopping.update(accuracy) and self._arguments.enable_early_stopping:
            logger.info(
                "Early stopping at step %d: no rise for %d evaluations.",
                step,
                self._early_stopping.without_rise,
            )
            self.control.should_save = self.control.should_training_stop = True
            return True
        return False

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Runs the whole evaluation set.

        Returns:
            The three evaluation tags; every example counts once, whatever the processes.
        """
        model = self.model
        model.eval()
        sums = torch.zeros_like(self._sums)
        plan = evaluation_plan(
            self._evaluation_set,
            max(self._micro_batch_size, 1),
            self.args.process_index,
            self.args.world_size,
        )
        with torch.no_grad():
            for rows in plan:
                examples = [self._evaluation_set.example(int(row)) for row in rows]
                loss, correct, count = self._forward(model, examples)
                sums += torch.stack((loss.double(), correct.double(), count))
        model.train()
        loss_sum, correct_sum, total = self.accelerator.reduce(sums, "sum").tolist()
        return {
            EVALUATION_LOSS: loss_sum / total,
            EVALUATION_CORRECT: correct_sum / total,
            EVALUATION_COUNT: total,
        }

    def _record(self, values: dict[str, float]) -> None:
        entry = {"step": self.state.global_step, **values, "wall_time": time.time()}
        self.state.log_history.append(entry)
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, entry)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Drops Trainer's own summary: it is no metric of the run, and not exact."""

    def _check_finite(self, loss: float) -> None:
        if math.isfinite(loss):
            return
        newest = self._checkpoints.newest()
        kept = f"The checkpoint of step {newest.step} is kept. " if newest else ""
        raise UserError(
            Problem(
                f"the loss became {loss} by step {self.state.global_step}.",
                "learning_rate",
                f"less than {self._arguments.peak_learning_rate:g}",
                f"{kept}Lower learning_rate or learning_rate_multiplier (a third is a good "
                "first try) and begin in a new checkpoint folder.",
            )
        )

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        self._check_finite(self._largest_weight())
        step = self.state.global_step
        if self.args.should_save:
            self._checkpoints.begin(step)
        self.accelerator.wait_for_everyone()
        folder = self._checkpoints.writing(step)
        self.save_model(str(folder), _internal_call=True)
        self._save_optimizer_and_scheduler(str(folder))
        self._save_rng_state(str(folder))
        sums = self.accelerator.reduce(self._sums.clone(), "sum")
        if self.args.should_save:
            self.state.save_to_json(str(folder / _TRAINER_STATE))
            (folder / _TUNER_STATE).write_text(json.dumps(self._tuner_state(sums.tolist())))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            selecting = self._arguments.enable_checkpoint_selection
            self._checkpoints.commit(step, best_step=self.best.step if selecting else 0)
        self.accelerator.wait_for_everyone()

    def _largest_weight(self) -> float:
        """Gives a number that is not finite where any trained weight is not."""
        weights = [p.detach() for p in self.model.parameters() if p.requires_grad]
        norms = torch._foreach_norm(weights, ord=float("inf"))
        return float(torch.stack([norm.float() for norm in norms]).max())

    # Resume

    def _tuner_state(self, sums: list[float]) -> dict[str, Any]:
        return {
            "best": dataclasses.asdict(self.best),
            "early_stopping": dataclasses.asdict(self._early_stopping),
            "finished": self.finished,
            "seconds": self.seconds + time.perf_counter() - self._session_began,
            "sums": sums,
        }

    def restore(self, checkpoint: Path) -> None:
        """Takes over what this class keeps beside Trainer's own state.

        Args:
            checkpoint: A whole checkpoint.
        """
        saved = json.loads((checkpoint / _TUNER_STATE).read_text(encoding="utf-8"))
        self.best = BestStep(**saved["best"])
        self._early_stopping = EarlyStopping(**saved["early_stopping"])
        self.finished = saved["finished"]
        self.seconds = saved["seconds"]
        if self.args.process_index == 0:  # The sums of all processes, counted once.
            self._sums.copy_(torch.tensor(saved["sums"], dtype=torch.float64))

    def load_weights(self, checkpoint: Path) -> None:
        """Loads a checkpoint's weights into the model.

        Args:
            checkpoint: A whole checkpoint.
        """
        self._load_from_checkpoint(str(checkpoint))

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
        self._window_began = self._session_began = time.perf_counter()
        self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        self.seconds += time.perf_counter() - self._session_began


class _InterruptionCallback(TrainerCallback):
    """Saves and stops after the step in which the run was interrupted, in every process."""

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        requested = self._interruption.requested
        if args.world_size > 1:
            flag = torch.tensor(float(requested), device=args.device)
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
            requested = bool(flag.item())
            if requested and not self._interruption.reason:
                self._interruption.reason = "another process was interrupted"
        if requested and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True


def _unchanged(batch: StepBatch) -> StepBatch:
    return batch


def _parts(examples: Sequence[Example], size: int) -> list[Sequence[Example]]:
    """Cuts examples into parts of nearly equal number, none larger than ``size``."""
    count = math.ceil(len(examples) / size)
    base, longer = divmod(len(examples), count)
    parts, start = [], 0
    for number in range(count):
        end = start + base + (number < longer)
        parts.append(examples[start:end])
        start = end
    return parts
