"""Layers that take the place of Tunix's, each with the reason why.

Weights stand as a Hugging Face checkpoint has them, (outputs, inputs): nothing is turned round when
a model is loaded, saved or adapted, and the compiler folds the transposition into the product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

FSDP, TENSOR = "fsdp", "tensor"


@dataclass(frozen=True)
class Adapter:
    """Size of LoRA's matrices.

    Attributes:
        rank: Inner size.
        alpha: As of PEFT: what is learned is multiplied by alpha / rank.
        targets: Ends of the names of the layers that have adapters.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]

    @property
    def scale(self) -> float:
        """What the product of the two matrices is multiplied by."""
        return self.alpha / self.rank


class Linear(nnx.Module):
    """A projection, with or without an adapter.

    Tunix adapts by qwix, which has other first values than PEFT and names of its own.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        split: tuple[int, ...],
        mesh: Mesh,
        *,
        gathers: bool,
        adapter: Adapter | None = None,
        told_shape: tuple[int, ...] = (),
    ) -> None:
        """Describes the layer; it is made without values (``nnx.eval_shape``).

        Args:
            inputs: Features taken; they may come in several dimensions.
            outputs: Features given.
            split: Dimensions of the outputs: (heads, head size), or (outputs,).
            mesh: Where it is computed.
            gathers: Whether its inputs are spread over ``tensor``, and not its outputs.
            adapter: Of LoRA; None for none.
            told_shape: What Tunix asks this layer for as ``shape``, to know its heads.
        """
        self.weight = nnx.Param(jnp.zeros((outputs, inputs)))
        self.adapter = adapter
        if adapter is not None:
            self.lora_A = nnx.Param(jnp.zeros((adapter.rank, inputs)))
            self.lora_B = nnx.Param(jnp.zeros((outputs, adapter.rank)))
        self.split = split
        self.shape = told_shape
        spread = not gathers and split[0] % mesh.shape[TENSOR] == 0
        places = PartitionSpec(FSDP, None, TENSOR if spread else None)
        self.placed = NamedSharding(mesh, places)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Computes x W^T, and the adapter's scale * (x A^T) B^T (Hu et al. 2021, eq. 3).

        Args:
            x: Shape (rows, length, ...).

        Returns:
            Shape (rows, length, *split).
        """
        x = x.reshape(*x.shape[:2], -1)
        y = x @ self.weight[...].T
        if self.adapter is not None:
            y += self.adapter.scale * ((x @ self.lora_A[...].T) @ self.lora_B[...].T)
        y = jax.lax.with_sharding_constraint(y, self.placed)
        return y.reshape(*x.shape[:2], *self.split)


class Projections(nnx.Module):
    """Several projections of one input; Tunix has one tensor of Gemma's, without adapters."""

    def __init__(self, told_shape: tuple[int, ...], **layers: Linear) -> None:
        """Takes the layers in the order of their outcomes; ``told_shape`` as of :class:`Linear`."""
        self.shape = told_shape
        self.order = tuple(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Computes all of them."""
        return tuple(getattr(self, name)(x) for name in self.order)


class Embedding(nnx.Module):
    """Tokens' vectors. Tunix's reckons the logits of every position too: here the head is apart."""

    def __init__(self, vocabulary: int, width: int, scale: float, dtype: Any, mesh: Mesh) -> None:
        """Describes the layer.

        Args:
            vocabulary: Tokens.
            width: Features of each.
            scale: What vectors are multiplied by.
            dtype: Of the outcome; the scale is rounded to it, as transformers does.
            mesh: Where it is computed.
        """
        self.weight = nnx.Param(jnp.zeros((vocabulary, width)))
        self.scale = scale
        self.dtype = dtype
        self.placed = NamedSharding(mesh, PartitionSpec(FSDP))

    def encode(self, tokens: jax.Array) -> jax.Array:
        """Gives vectors of shape (rows, length, width) for tokens of shape (rows, length)."""
        vectors = self.weight[...][tokens].astype(self.dtype)
        if self.scale != 1:
            vectors *= jnp.asarray(self.scale, self.dtype)
        return jax.lax.with_sharding_constraint(vectors, self.placed)

    def decode(self, hidden: jax.Array) -> jax.Array:
        """Leaves hidden states as they are."""
        return hidden


class Headless(nnx.Module):
    """Stands where Tunix has the head, which is computed where labels are, and nowhere else."""

    def __call__(self, hidden: jax.Array) -> jax.Array:
        """Leaves hidden states as they are."""
        return hidden


class GemmaNorm(nnx.Module):
    """Gemma's RMS norm in float32, with the checkpoint's epsilon.

    Tunix's has a fixed epsilon and computes in the type of its input: in bfloat16 a mean square has
    eight bits. transformers computes in float32.
    """

    def __init__(self, width: int, epsilon: float, gain: float = 1, dtype: Any = None) -> None:
        """Describes the layer.

        Args:
            width: Features.
            epsilon: Added to the mean square.
            gain: What the outcome is multiplied by.
            dtype: Of the outcome; None for the input's.
        """
        self.weight = nnx.Param(jnp.zeros(width))
        self.epsilon = epsilon
        self.gain = gain
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises the last dimension."""
        exact = x.astype(jnp.float32)
        mean_square = jnp.mean(jnp.square(exact), axis=-1, keepdims=True)
        normed = exact * jax.lax.rsqrt(mean_square + self.epsilon)
        return (normed * (1 + self.weight[...]) * self.gain).astype(self.dtype or x.dtype)


@dataclass(frozen=True)
class Rotary:
    """Rotary positions with a checkpoint's base and scaling.

    Tunix's Llama and Qwen3 turn with a base of 1,000,000 whatever their configuration says, and
    know no scaling: logits of Llama 3 then differ by 3e-3 and more.

    Attributes:
        theta: The base.
        scaling: Further parameters of the configuration; empty for none. Of "llama3" the formula is
            that of ``transformers.modeling_rope_utils._compute_llama3_parameters``.
    """

    theta: float
    scaling: tuple[tuple[str, float], ...] = ()

    def frequencies(self, size: int) -> jax.Array:
        """Gives radians a position, shape (size / 2,), for heads of a size."""
        plain = self.theta ** (-jnp.arange(0, size, 2, dtype=jnp.float32) / size)
        if not self.scaling:
            return plain
        asked = dict(self.scaling)
        slow = plain / asked["factor"]
        if "low_freq_factor" not in asked:
            return slow
        low, high = asked["low_freq_factor"], asked["high_freq_factor"]
        turns = asked["original_max_position_embeddings"] * plain / (2 * math.pi)
        blend = jnp.clip((turns - low) / (high - low), 0, 1)
        return (1 - blend) * slow + blend * plain

    def turn(
        self, inputs: jax.Array, positions: jax.Array, head_dim: int, **_: object
    ) -> jax.Array:
        """Turns heads of shape (rows, length, heads, size) by positions of shape (rows, length)."""
        angles = positions[:, :, None, None] * self.frequencies(head_dim)
        sin, cos = jnp.sin(angles), jnp.cos(angles)
        first, second = jnp.split(inputs.astype(jnp.float32), 2, axis=-1)
        turned = (first * cos - second * sin, second * cos + first * sin)
        return jnp.concatenate(turned, axis=-1).astype(inputs.dtype)
