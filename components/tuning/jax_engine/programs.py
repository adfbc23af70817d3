"""The programs of a run: each is compiled once for every shape of a pass."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.tuning.jax_engine.layers import FSDP
from kfp_llm_tuning.components.tuning.jax_engine.model import JaxModel
from kfp_llm_tuning.components.tuning.jax_engine.optimiser import Moments, Optimiser, Weights
from kfp_llm_tuning.components.tuning.jax_engine.token_buckets import MicroBatch


class Programs:
    """Passes over tokens and steps of the optimiser, on the devices of all processes."""

    def __init__(self, model: JaxModel, optimiser: Optimiser) -> None:
        """Names the programs; they are compiled at their first call of a shape.

        Args:
            model: The model; its weights are not kept here.
            optimiser: Changes the weights.
        """
        self._hidden, self._logits = model.hidden, model.logits
        self._rows = NamedSharding(model.mesh, PartitionSpec(FSDP))
        # What is trained stays where it is, whatever the compiler would choose.
        places = {name: weight.sharding for name, weight in model.trained.items()}
        everywhere = NamedSharding(model.mesh, PartitionSpec())
        self._accumulate = jax.jit(
            self._add_gradients, donate_argnums=2, out_shardings=(places, everywhere)
        )
        self._evaluate = jax.jit(self._sums, out_shardings=everywhere)
        self._apply = jax.jit(
            optimiser.apply,
            donate_argnums=(0, 1),
            out_shardings=(places, Moments(places, places)),
        )
        self._largest = jax.jit(_largest, out_shardings=everywhere)

    def put(self, batch: MicroBatch, sequences: Sequence[TokenSequence]) -> tuple[jax.Array, ...]:
        """Lays out one pass on the devices; every process makes its own rows alone.

        Args:
            batch: The places of the sequences.
            sequences: Those that it numbers.

        Returns:
            Tokens (rows, length), positions and targets (shards, labels).
        """
        bucket = batch.bucket
        of_labels = (bucket.shards, bucket.labels)

        def labels(number: int) -> jax.Array:
            return jax.make_array_from_callback(
                of_labels, self._rows, lambda index: batch.labels(sequences, index[0])[number]
            )

        tokens = jax.make_array_from_callback(
            (bucket.rows, bucket.length),
            self._rows,
            lambda index: batch.tokens(sequences, index[0]),
        )
        return tokens, labels(0), labels(1)

    def accumulate(
        self,
        trained: Weights,
        frozen: Weights,
        gradients: Weights,
        placed: Sequence[jax.Array],
        scale: float,
    ) -> tuple[Weights, jax.Array]:
        """Adds the gradients of one pass.

        Args:
            trained: What is trained.
            frozen: The rest.
            gradients: Of the passes before; is used up.
            placed: Of :meth:`put`.
            scale: What the summed loss is multiplied by.

        Returns:
            The gradients, and the pass's sums: loss, correct predictions, predictions.
        """
        found: tuple[Weights, jax.Array] = self._accumulate(
            trained, frozen, gradients, *placed, np.float32(scale)
        )
        return found

    def evaluate(self, trained: Weights, frozen: Weights, placed: Sequence[jax.Array]) -> jax.Array:
        """Gives the sums of one pass, without gradients; as :meth:`accumulate`."""
        sums: jax.Array = self._evaluate(trained, frozen, *placed)
        return sums

    def apply(
        self,
        trained: Weights,
        moments: Moments,
        gradients: Weights,
        step: int,
        learning_rate: float,
    ) -> tuple[Weights, Moments]:
        """Changes the weights, which are used up with the moments. See :meth:`Optimiser.apply`."""
        found: tuple[Weights, Moments] = self._apply(
            trained, moments, gradients, np.int32(step), np.float32(learning_rate)
        )
        return found

    def largest(self, trained: Weights) -> float:
        """Gives the largest absolute value; it is not finite where any weight is not."""
        return float(self._largest(trained))

    def _add_gradients(
        self,
        trained: Weights,
        frozen: Weights,
        gradients: Weights,
        tokens: jax.Array,
        positions: jax.Array,
        targets: jax.Array,
        scale: jax.Array,
    ) -> tuple[Weights, jax.Array]:
        def loss(trained: Weights) -> tuple[jax.Array, jax.Array]:
            sums = self._sums(trained, frozen, tokens, positions, targets)
            return sums[0] * scale, sums

        found, sums = jax.grad(loss, has_aux=True)(trained)
        return {name: one + found[name] for name, one in gradients.items()}, sums

    def _sums(
        self,
        trained: Weights,
        frozen: Weights,
        tokens: jax.Array,
        positions: jax.Array,
        targets: jax.Array,
    ) -> jax.Array:
        states = self._hidden(trained, frozen, tokens)
        shards = positions.shape[0]
        states = states.reshape(shards, -1, states.shape[-1])
        # Logits at label positions alone: the output layer is a model's widest.
        chosen = jnp.take_along_axis(states, positions[:, :, None], axis=1)
        logits = self._logits(trained, frozen, chosen.reshape(-1, chosen.shape[-1]))
        return label_sums(logits, targets.reshape(-1))


def label_sums(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Sums what the metrics need over the labels.

    Args:
        logits: Float32; shape (labels, vocabulary).
        targets: Tokens, -1 where there is no label; shape (labels,).

    Returns:
        Loss in nats, correct predictions, predictions; shape (3,).
    """
    real = targets >= 0
    own = jnp.take_along_axis(logits, jnp.maximum(targets, 0)[:, None], axis=1)[:, 0]
    losses = jnp.where(real, jax.nn.logsumexp(logits, axis=-1) - own, 0)
    correct = real & (jnp.argmax(logits, axis=-1) == targets)
    return jnp.stack([losses.sum(), correct.sum(dtype=jnp.float32), real.sum(dtype=jnp.float32)])


def _largest(trained: Weights) -> jax.Array:
    return jnp.stack([jnp.abs(weight).max() for weight in trained.values()]).max()
