"""AdamW, clipping and the schedule of the learning rate: the numbers of the torch engine's run."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from kfp_llm_tuning.components.tuning.arguments import TuningArguments

Weights = dict[str, jax.Array]

# AdamW's, of TrainingArguments.adam_epsilon.
_EPSILON = 1e-8
# torch.nn.utils.clip_grad_norm_ adds it to the norm.
_NORM_EPSILON = 1e-6
# Trainer.get_decay_parameter_names: these weights do not decay.
_NOT_DECAYED = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")


class Moments(NamedTuple):
    """AdamW's means of each weight's gradients, and of their squares."""

    mean: Weights
    square: Weights


@dataclass(frozen=True)
class Optimiser:
    """How gradients change weights.

    Attributes:
        arguments: What is asked for.
    """

    arguments: TuningArguments

    def learning_rate(self, step: int) -> float:
        """Gives the rate of a step, as transformers' schedules do (``optimization.py``).

        Args:
            step: Steps done before it.
        """
        asked = self.arguments
        warmup, steps = asked.warmup_steps, asked.train_steps
        if step < warmup:
            return asked.peak_learning_rate * step / max(1, warmup)
        progress = (step - warmup) / max(1, steps - warmup)
        share = {
            "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
            "linear": 1 - progress,
            "constant": 1.0,
        }[asked.schedule]
        return asked.peak_learning_rate * max(0.0, share)

    def first_moments(self, trained: Weights) -> Moments:
        """Makes the state before the first step: zeros, spread as the weights are."""
        return Moments(zeros_like(trained), zeros_like(trained))

    def apply(
        self,
        trained: Weights,
        moments: Moments,
        gradients: Weights,
        step: jax.Array,
        learning_rate: jax.Array,
    ) -> tuple[Weights, Moments]:
        """Changes the weights by one step. Pure: it is to be traced.

        Args:
            trained: The weights.
            moments: The state before.
            gradients: Of the step's mean loss.
            step: Steps done before it.
            learning_rate: Of this step.
        """
        asked = self.arguments
        if asked.max_grad_norm:
            norm = optax.tree.norm(gradients)
            factor = jnp.minimum(asked.max_grad_norm / (norm + _NORM_EPSILON), 1)
            gradients = {name: one * factor for name, one in gradients.items()}
        adam = optax.scale_by_adam(asked.adam_beta1, asked.adam_beta2, _EPSILON)
        before = optax.ScaleByAdamState(step, moments.mean, moments.square)
        changes, after = adam.update(gradients, before)
        decay = {name: asked.weight_decay if decays(name) else 0.0 for name in trained}
        changed = {
            name: weight - learning_rate * (changes[name] + decay[name] * weight)
            for name, weight in trained.items()
        }
        return changed, Moments(after.mu, after.nu)


def decays(name: str) -> bool:
    """Tells whether a weight decays: biases and norms do not."""
    return _NOT_DECAYED.search(name.lower()) is None


def zeros_like(weights: Weights) -> Weights:
    """Makes float32 zeros, spread as weights are."""
    return {
        name: jnp.zeros(weight.shape, jnp.float32, device=weight.sharding)
        for name, weight in weights.items()
    }
