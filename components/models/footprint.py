"""How much memory a model takes on each device while it is tuned; needs no torch.

What weights take follows from their number alone: weights, gradients and AdamW's moments are of
known types (Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter
Models", section 3.1, with everything that is trained kept in float32). What forward passes keep was
counted on fake tensors, operation by operation, and is a sum of the model's widths: a test counts
it anew (tests/benchmarks/test_counted_footprint.py). So a request is checked where no torch is.
"""

from __future__ import annotations

from dataclasses import dataclass

from kfp_llm_tuning.components.models.model_shapes import LINEAR_MODULES, ModelShape

# A trained weight, its gradient and AdamW's two moments, in float32 each.
TRAINED_BYTES = 16
# DistributedDataParallel's buckets hold each gradient once more.
_BUCKET_BYTES = 4
# 4 bits, and a scale in float32 for every 64 weights (bitsandbytes' NF4).
QUANTISED_BYTES = 0.5 + 4 / 64
# Of a chunk of logits: themselves, as float32, and their gradient.
_LOGIT_VALUES = {True: 2**26, False: 2**24}
_LOGIT_BYTES = 10
# Of a device's memory, what weights, gradients and optimiser may take where none is shared: the
# rest is for what forward and backward passes hold.
_SHARE_OF_STATE = 0.7
# Layers whose weights sharded processes hold whole at once: the one at work and the next.
_GATHERED_LAYERS = 2
# CUDA's context and libraries; the interpreter with torch and transformers.
_PROCESS_BYTES = {True: 1.0e9, False: 0.8e9}


@dataclass(frozen=True)
class Weights:
    """How many weights a model has, by what becomes of them.

    Attributes:
        trained: Updated; with adapters these alone.
        frozen: Only read.
        quantised: Only read, and kept in 4 bits.
    """

    trained: int
    frozen: int = 0
    quantised: int = 0


def state_bytes(
    weights: Weights, *, processes: int = 1, sharded: bool = False, frozen_bytes: int = 2
) -> float:
    """Counts what weights, gradients and optimiser take on one device.

    Args:
        weights: Of the whole model.
        processes: How many train together, on a device each.
        sharded: Whether each holds its share alone; else each holds all.
        frozen_bytes: Bytes of a frozen weight: 2 in bf16, 4 in float32.

    Returns:
        Bytes, without what forward and backward passes hold meanwhile.
    """
    read_only = weights.frozen * frozen_bytes + weights.quantised * QUANTISED_BYTES
    held = weights.trained * TRAINED_BYTES + read_only
    if sharded:
        return held / processes
    return held + (weights.trained * _BUCKET_BYTES if processes > 1 else 0)


def is_to_be_shared(state: float, memory: float) -> bool:
    """Decides what ``sharding: auto`` does on several GPUs.

    Args:
        state: Bytes that each would hold, of :func:`state_bytes`, where nothing is shared.
        memory: Bytes of the smallest.
    """
    return state > _SHARE_OF_STATE * memory


@dataclass(frozen=True)
class Method:
    """How a model is tuned.

    Attributes:
        tuning: "adapter" or "full".
        rank: Of adapters.
        four_bit: Whether the frozen weights of adapters' layers are kept in 4 bits.
        sharded: Whether several processes share weights and optimiser.
    """

    tuning: str
    rank: int = 16
    four_bit: bool = False
    sharded: bool = False

    @property
    def adapters(self) -> bool:
        """Whether adapters alone are trained."""
        return self.tuning == "adapter"

    def weights(self, shape: ModelShape) -> Weights:
        """Counts a model's weights by what becomes of them."""
        if not self.adapters:
            return Weights(shape.weights)
        inner = shape.layers * shape.layer_weights if self.four_bit else 0
        return Weights(shape.adapter_weights(self.rank), shape.weights - inner, inner)


@dataclass(frozen=True)
class Footprint:
    """Bytes on one device.

    Attributes:
        state: Weights, gradients and optimiser.
        copies: Weights once more: in bf16 where float32 ones are computed with, or gathered.
        logits: Of a chunk of labels.
        activations: What a forward pass keeps for its backward pass.
        process: What every process takes.
    """

    state: float
    copies: float
    logits: float
    activations: float
    process: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.state + self.copies + self.logits + self.activations + self.process


def footprint(
    shape: ModelShape,
    method: Method,
    tokens: int,
    *,
    processes: int = 1,
    recomputed: bool = False,
    cuda: bool = True,
    bf16: bool = True,
) -> Footprint:
    """Counts what one device holds at most.

    Args:
        shape: The model.
        method: How it is tuned.
        tokens: Of one forward pass.
        processes: How many train together, on a device each.
        recomputed: Whether the backward pass computes every layer anew.
        cuda: Whether it is a GPU: sequences lie end to end there, in rows elsewhere.
        bf16: Whether bf16 is computed with, else float32.
    """
    value = 2 if bf16 else 4
    state = state_bytes(
        method.weights(shape),
        processes=processes,
        sharded=method.sharded,
        frozen_bytes=value,
    )
    copies = 0.0
    if method.sharded and processes > 1:
        gathered = _GATHERED_LAYERS * shape.layer_weights + shape.outer_weights
        # Gathered in bf16, and their gradients in float32 before they are shared out.
        copies = gathered * (value if method.adapters else value + 4)
    elif bf16 and not method.adapters:
        copies = 2.0 * shape.weights
    layer = layer_bytes(shape, method, cuda=cuda, bf16=bf16)
    kept = layer * shape.layers
    if recomputed:
        kept = shape.layers * shape.hidden * value + layer
    logits = min(_LOGIT_VALUES[cuda], tokens * shape.vocabulary) * _LOGIT_BYTES
    return Footprint(state, copies, logits, tokens * kept, _PROCESS_BYTES[cuda])


def layer_bytes(
    shape: ModelShape, method: Method, *, cuda: bool = True, bf16: bool = True
) -> float:
    """Gives what a layer keeps of a token for the backward pass.

    Args:
        shape: The model.
        method: How it is tuned.
        cuda: As of :func:`footprint`.
        bf16: As of :func:`footprint`.
    """
    hidden, feed_forward, queries, keys = _KEPT[method.adapters, cuda, bf16]
    if shape.query_norms:
        normed = 4 if method.adapters else 6
        queries, keys = queries + normed, keys + normed
    if shape.four_norms:
        hidden += 8 if method.adapters else 16
    adapters = LINEAR_MODULES * method.rank * (2 if bf16 else 4) if method.adapters else 0
    return (
        hidden * shape.hidden
        + feed_forward * shape.feed_forward
        + queries * shape.queries
        + keys * shape.keys
        + adapters
    )


# Bytes for each unit of the hidden, feed-forward, query and key width, counted on fake tensors:
# by whether adapters are tuned, on a GPU (end to end, adapters in bf16), in bf16.
_KEPT = {
    (True, True, True): (12.4, 8.2, 3.6, 4.8),
    (False, True, True): (26.0, 8.0, 4.0, 4.0),
    (True, False, True): (13.0, 8.5, 8.5, 2.0),
    (False, False, True): (26.6, 8.3, 8.5, 1.3),
    (True, False, False): (18.0, 17.0, 16.5, 4.0),
    (False, False, False): (25.3, 16.6, 16.5, 2.5),
}
# On a GPU in float32, which is asked for and never chosen, sequences keep what they do in rows.
_KEPT[True, True, False] = _KEPT[True, False, False]
_KEPT[False, True, False] = _KEPT[False, False, False]
