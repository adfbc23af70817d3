"""How a run computes: arithmetic, micro batches, recomputation; and all that in Trainer's words."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from transformers import TrainingArguments

from kfp_llm_tuning.components.tuning import memory, processes
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.trainable_model import TrainableModel
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets

_CPU = torch.device("cpu")
# Tokens of a forward pass. More are no faster on a processor and take memory that a laptop has not:
# 4 steps of 8 x 224 tokens (135M parameters, fp32) took 40, 38, 40 and 43 processor seconds and
# 5.5, 3.8, 2.5 and 1.9 GiB in 1, 2, 4 and 8 passes a step.
_CPU_TOKENS = 2048


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


def decide_settings(
    arguments: TuningArguments,
    base: TrainableModel,
    sets: TuningSets,
    checkpoints: CheckpointDirectory,
) -> RunSettings:
    """Decides how to compute on this machine.

    Args:
        arguments: What is asked for; ``micro_batch_size`` 0 leaves that to this function.
        base: The model; is moved to its device where the memory must be measured.
        sets: The data; the longest example decides what fits.
        checkpoints: Where checkpoints go.

    Returns:
        The settings.
    """
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", processes.local_index()) if cuda else _CPU
    most = -(-arguments.batch_size // processes.count())
    micro, recompute = min(arguments.micro_batch_size, most), False
    if not micro:
        micro, recompute = _fitting(base, device, sets.longest, most)
    return RunSettings(
        arguments=arguments,
        checkpoints=checkpoints,
        bf16=base.bf16,
        micro_batch_size=micro,
        gradient_checkpointing=recompute,
        use_cpu=not cuda,
    )


def _fitting(
    base: TrainableModel, device: torch.device, length: int, most: int
) -> tuple[int, bool]:
    """Finds the micro batch, and whether layers must be recomputed for it (GPU only)."""
    base.model.to(device)
    if device.type == "cpu":
        most = min(most, max(_CPU_TOKENS // length, 1))
    size = 2 if base.bf16 else 4
    fits = memory.fitting_examples(
        base.model, device, length=length, most=most, bytes_per_value=size
    )
    if fits or device.type == "cpu":
        return max(fits, 1), False
    fits = memory.fitting_examples(
        base.model, device, length=length, most=most, bytes_per_value=size, checkpointing=True
    )
    return max(fits, 1), True
