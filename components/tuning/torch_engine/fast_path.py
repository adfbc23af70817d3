"""Faster ways to compute the same: each is tried on the very model and machine, or left out.

None is taken on trust. A few tokens are run forward and backward as the model is and with the
candidate; it stays only if logits and gradients are the same within rounding, and else everything
that it changed is put back. What decided is told in one line of the log. Two more are not decided
here: the fused AdamW is Trainer's own default, and which attention kernel is used, FlashAttention 3
before all others, is tried by ``models.forward_trial``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kfp_llm_tuning.components.data.token_layouts import EndToEnd, PaddedRows
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.models.label_head import cross_entropy
from kfp_llm_tuning.components.models.label_only_loss import (
    ForwardPlan,
    label_logits,
    unwrapped,
)
from kfp_llm_tuning.components.models.token_batch import TokenBatch

logger = logging.getLogger(__name__)

# Difference of two results to the size of one. In bfloat16 every operation rounds to 0.4 %, and
# fused ones round less often.
_TOLERANCE = {True: 3e-2, False: 1e-4}
# Two rows of unlike length, longer than one block of a kernel.
_TRIAL_LENGTHS = (160, 96)
# Compiling takes about a minute, which fewer steps would not bring back (reckoned, not measured).
_FEWEST_COMPILED_STEPS = 1000


@dataclass(frozen=True)
class Situation:
    """What is to be computed, and on what.

    Attributes:
        model: A causal language model on its device, perhaps with adapters.
        plan: How it is called.
        bf16: Whether it computes in bfloat16 by autocast.
        steps: Steps of the run.
    """

    model: Any
    plan: ForwardPlan
    bf16: bool
    steps: int

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.model.parameters()).device
        return device


@dataclass(frozen=True)
class Candidate:
    """A faster way.

    Attributes:
        name: Names it in the log.
        why_not: Says why it cannot be tried in a situation; empty where it can.
        switch_on: Changes attributes of the model's modules, or of the modules of code that they
            are written in: nothing else, so that all can be put back.
    """

    name: str
    why_not: Callable[[Situation], str]
    switch_on: Callable[[Any], None]


def _no_short_adapters(situation: Situation) -> str:
    if not situation.bf16:
        return "the run computes in fp32"
    return "" if _adapted_layers(situation.model) else "no adapters are tuned"


def _keep_input_of_adapters(model: Any) -> None:
    """Lets adapters take their input as it is.

    PEFT casts it to the type of the adapter's weights, float32, and autocast casts it back for the
    product: two copies of every activation for nothing. Weights and optimiser stay in float32.
    """
    for layer in _adapted_layers(model):
        layer.cast_input_dtype_enabled = False


def _adapted_layers(model: Any) -> list[Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def _no_liger(situation: Situation) -> str:
    return _no_cuda(situation) or _not_installed("liger_kernel", "liger-kernel")


def _use_liger(model: Any) -> None:
    """Norms, rotary positions and gates by one kernel each; the loss is our own."""
    from transformers.integrations.liger import apply_liger_kernel

    fused = {"rope": True, "rms_norm": True, "swiglu": True}
    losses = {"cross_entropy": False, "fused_linear_cross_entropy": False}
    apply_liger_kernel(unwrapped(model), fused | losses)


def _no_compiling(situation: Situation) -> str:
    if missing := _no_cuda(situation) or _not_installed("triton", "triton"):
        return missing
    if situation.steps < _FEWEST_COMPILED_STEPS:
        return f"not worth its minute for less than {_FEWEST_COMPILED_STEPS:,} steps"
    return ""


def _compile_layers(model: Any) -> None:
    """Compiles each layer by itself, for any number of tokens.

    Where that cannot be, torch compiles a few shapes and runs all further ones as they are.
    """
    for layer in unwrapped(model).get_decoder().layers:
        layer.compile(dynamic=True)


def _no_cuda(situation: Situation) -> str:
    return "" if situation.device.type == "cuda" else "no CUDA device"


def _not_installed(module: str, distribution: str) -> str:
    return "" if importlib.util.find_spec(module) else f"{distribution} is not installed"


# In the order in which they are tried, each on top of those that stayed.
CANDIDATES = (
    Candidate("adapters in bf16", _no_short_adapters, _keep_input_of_adapters),
    Candidate("Liger kernels", _no_liger, _use_liger),
    Candidate("torch.compile", _no_compiling, _compile_layers),
)


def take_fast_path(
    situation: Situation, candidates: Sequence[Candidate] = CANDIDATES
) -> dict[str, str]:
    """Switches on what computes the same, and logs what was decided.

    Args:
        situation: The model, which keeps what is switched on. Called under the run's autocast.
        candidates: What is tried.

    Returns:
        By the name of each candidate why it is not on; empty where it is.
    """
    found = {}
    trial: _Trial | None = None
    for candidate in candidates:
        why = candidate.why_not(situation)
        if not why:
            trial = trial or _Trial(situation)
            why = trial.why_not(candidate)
        found[candidate.name] = why
    told = [f"no {name}: {why}" if why else f"{name}: on" for name, why in found.items()]
    logger.info("Fast path: %s.", "; ".join(told))
    return found


class _Trial:
    """Compares results with those of the model as it was."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._batch = _batch(situation)
        self._expected = self._results()

    def why_not(self, candidate: Candidate) -> str:
        """Switches a candidate on; says why it was switched off again, or nothing."""
        model = self._situation.model
        before = _Attributes(model)
        try:
            candidate.switch_on(model)
            if not before.changed():
                return "there is none for this model"
            apart = _apart(self._results(), self._expected)
        except Exception as error:
            # Kernels and compilers raise what they like.
            before.put_back()
            logger.debug("No %s", candidate.name, exc_info=True)
            return (str(error).splitlines() or [type(error).__name__])[0]
        if not apart <= _TOLERANCE[self._situation.bf16]:
            before.put_back()
            return f"its results differ by {apart:.1%}"
        return ""

    def _results(self) -> list[torch.Tensor]:
        """Gives logits and all gradients: two sets of these are less than the optimiser holds."""
        model = self._situation.model
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        was_training = model.training
        # Without dropout.
        model.eval()
        try:
            with _stirred(trained):
                logits = label_logits(model, self._batch, self._situation.plan)
                loss, _ = cross_entropy(logits, self._batch.targets)
                gradients = torch.autograd.grad(loss, trained, allow_unused=True)
        finally:
            model.train(was_training)
        return [logits.detach(), *(one for one in gradients if one is not None)]


def _batch(situation: Situation) -> TokenBatch:
    generator = np.random.default_rng(0)
    vocabulary = situation.model.get_input_embeddings().num_embeddings
    sequences = [
        TokenSequence.of_answer(
            generator.integers(0, vocabulary, length).astype(np.int32), length // 2
        )
        for length in _TRIAL_LENGTHS
    ]
    layout = EndToEnd() if situation.plan.packed else PaddedRows()
    return layout.collate(sequences).to(situation.device)


@contextlib.contextmanager
def _stirred(weights: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Fills weights that are all zero meanwhile: a new adapter would add nothing to compare."""
    zero = [weight for weight in weights if not weight.any()]
    with torch.no_grad():
        for weight in zero:
            steps = torch.arange(weight.numel(), device=weight.device)
            weight.copy_(torch.sin(steps).view_as(weight) * 0.02)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight in zero:
                weight.zero_()


def _apart(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """Gives the largest difference to the size of what is expected; NaN where any is."""
    if [one.shape for one in found] != [one.shape for one in expected]:
        return float("inf")
    ratios = [
        ((one.float() - other.float()).norm() / other.float().norm().clamp(min=1e-6))
        for one, other in zip(found, expected, strict=True)
    ]
    return float(torch.stack(ratios).max())


class _Attributes:
    """Attributes of a model's modules and of the code that they are written in."""

    def __init__(self, model: Any) -> None:
        modules = list(model.modules())
        names = {type(module).__module__ for module in modules}
        self._holders: list[dict[str, Any]] = [vars(module) for module in modules]
        self._holders += [vars(sys.modules[name]) for name in sorted(names)]
        self._before = [dict(holder) for holder in self._holders]

    def changed(self) -> bool:
        """Says whether any is another now."""
        return any(
            holder.keys() != before.keys() or any(holder[key] is not before[key] for key in before)
            for holder, before in zip(self._holders, self._before, strict=True)
        )

    def put_back(self) -> None:
        """Makes all what they were."""
        for holder, before in zip(self._holders, self._before, strict=True):
            for key in holder.keys() - before.keys():
                del holder[key]
            holder.update(before)
