"""How a run computes: arithmetic, layout, tokens at once; and all that in Trainer's words."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import TrainingArguments

from kfp_llm_tuning.components.data.token_layouts import EndToEnd, PaddedRows
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.forward_trial import plan_forward
from kfp_llm_tuning.components.models.label_only_loss import ForwardPlan
from kfp_llm_tuning.components.models.sharded_model import settle
from kfp_llm_tuning.components.models.token_batch import TokenBatch
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.torch_engine import memory
from kfp_llm_tuning.components.tuning.torch_engine.fast_path import Situation, take_fast_path
from kfp_llm_tuning.components.tuning.torch_engine.memory import TokenBudget
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import TrainableModel
from kfp_llm_tuning.components.tuning.tuning_sets import TuningSets

logger = logging.getLogger(__name__)

# Tokens of a forward pass. More are no faster on a processor and take memory that a laptop has not:
# 4 steps of 8 x 224 tokens (135M parameters, fp32) took 40, 38, 40 and 43 processor seconds and
# 5.5, 3.8, 2.5 and 1.9 GiB in 1, 2, 4 and 8 passes a step.
_CPU_TOKENS = 2048
# Fewer tokens leave a GPU waiting for the host more than recomputing layers takes it.
_FEWEST_CUDA_TOKENS = 2048
# More should gain nothing: not measured.
_MOST_CUDA_TOKENS = 65_536


@dataclass(frozen=True)
class RunSettings:
    """What a run is made of besides its arguments.

    Attributes:
        arguments: The checked arguments.
        checkpoints: Where checkpoints go; claimed by the caller.
        bf16: Whether to compute in bfloat16 by autocast.
        plan: How the model is called.
        budget: What one forward pass of one device may hold.
        use_cpu: Whether to leave an accelerator alone.
        sharded: Whether the run's processes share the model's weights.
    """

    arguments: TuningArguments
    checkpoints: CheckpointDirectory
    bf16: bool
    plan: ForwardPlan
    budget: TokenBudget
    use_cpu: bool = False
    sharded: bool = False

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
            # Trainer writes no optimiser of a model that is sharded; ours does.
            save_only_model=self.sharded,
            save_steps=asked.steps_between_checkpoints,
            ddp_find_unused_parameters=False,
            disable_tqdm=True,
            report_to="none",
        )

    def _recomputation(self) -> dict[str, Any]:
        """Names the switch as this version of transformers does."""
        every = self.budget.recomputed_every
        if not every:
            return {}
        names = {field.name for field in dataclasses.fields(TrainingArguments)}
        new = "activation_checkpointing"
        if new not in names:
            return {"gradient_checkpointing": True}
        return {new: True, f"{new}_kwargs": {"every_n_layers": every}}


def decide_settings(
    arguments: TuningArguments,
    base: TrainableModel,
    sets: TuningSets,
    checkpoints: CheckpointDirectory,
) -> RunSettings:
    """Decides how to compute on this machine.

    Args:
        arguments: What is asked for; ``micro_batch_tokens`` 0 leaves that to this function.
        base: The model; is moved to its device, and called a few times there.
        sets: The data; the longest sequence decides what must fit.
        checkpoints: Where checkpoints go.

    Returns:
        The settings.
    """
    device = processes.device()
    cuda = device.type == "cuda"
    if not base.is_placed:
        base.model.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=base.bf16):
        plan = plan_forward(base.model, packed=cuda)
        if not base.sharded:  # Each process would try and decide for itself.
            take_fast_path(Situation(base.model, plan, base.bf16, arguments.train_steps))
        budget = _fitting(base, plan, device, sets.longest, arguments.micro_batch_tokens)
    if base.sharded:
        settle(base.model)
        budget = _smallest(budget)
    logger.info("Forward pass: %s.", plan.describe())
    return RunSettings(
        arguments=arguments,
        checkpoints=checkpoints,
        bf16=base.bf16,
        plan=plan,
        budget=budget,
        use_cpu=not cuda,
        sharded=base.sharded,
    )


def _smallest(budget: TokenBudget) -> TokenBudget:
    """Gives all processes the same: those that share a model run equally many passes."""
    budgets = [budget] * processes.count()
    torch.distributed.all_gather_object(budgets, budget)
    return TokenBudget(
        min(one.training for one in budgets),
        min(one.evaluation for one in budgets),
        min((one.recomputed_every for one in budgets if one.recomputed_every), default=0),
    )


def _fitting(
    base: TrainableModel, plan: ForwardPlan, device: torch.device, longest: int, asked: int
) -> TokenBudget:
    """Finds what fits, and on a GPU which layers must be recomputed for it."""
    layout = EndToEnd() if plan.packed else PaddedRows()

    def batch(tokens: int) -> TokenBatch:
        sequence = TokenSequence.of_answer(np.zeros(tokens + 1, dtype=np.int32), tokens)
        return layout.collate([sequence]).to(device)

    needs = memory.measure_pass(base.model, plan, batch, bytes_per_value=2 if base.bf16 else 4)
    room = memory.available_bytes(device) - memory.training_bytes(base.model)
    cuda = device.type == "cuda"
    wanted = max(asked or _FEWEST_CUDA_TOKENS, longest) if cuda else 1
    most = _MOST_CUDA_TOKENS if cuda else _CPU_TOKENS
    budget = memory.fitting_budget(needs, room, wanted=wanted)
    return dataclasses.replace(
        budget,
        training=asked or min(budget.training, most),
        evaluation=min(budget.evaluation, most),
    )
