"""How long tuning takes: operations and bytes of a token, by the model's widths; needs no torch.

An operation takes as long as its arithmetic or its memory traffic needs, and the host takes its
time to start each (Williams et al. 2009, "Roofline: an insightful visual performance model"). What
a token moves was counted on fake tensors as the tuner's own steps dispatch their operations;
``benchmarks/roofline.py`` counts whole steps so, and a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass

from kfp_llm_tuning.components.models.devices import Device, host_times
from kfp_llm_tuning.components.models.footprint import (
    QUANTISED_BYTES,
    Method,
    footprint,
)
from kfp_llm_tuning.components.models.model_shapes import ModelShape

# Share of a device's memory that the tuner plans to use beside the state, as tuning/memory.py.
_USABLE_SHARE = 0.8
# More tokens in one pass gain nothing (tuning/run_settings.py).
_MOST_TOKENS = {True: 65_536, False: 2048}
# Bytes that a token moves in a layer for each unit of the hidden, feed-forward, query and key
# width, products and attention left out: of adapters (in bf16) and full tuning, forward and
# backward.
_MOVED = {
    True: ((105, 30, 31, 41), (245, 32, 47, 53)),
    False: ((107, 10, 38, 38), (295, 18, 68, 76)),
}
# The same for norms of queries and keys.
_MOVED_BY_QUERY_NORMS = (37, 90)
# Operations of a layer and of the rest that the host starts, forward and backward.
_STARTED = {True: ((80, 34), (120, 1)), False: ((48, 32), (91, 30))}
# Bytes that a logit moves: as bf16, as float32, its gradient.
_LOGIT_MOVED = 30
# Fused AdamW reads weight, gradient and two moments and writes three; clipping reads and writes.
_OPTIMISER_BYTES = 44
# Backward passes of attention make five products where forward ones make two (Dao 2023,
# "FlashAttention-2", section 4.1).
_BACKWARD_OF_ATTENTION = 2.5
# Dequantising reads 4 bits, writes bf16 and reads that again.
_DEQUANTISED_BYTES = 4.5
# Of bf16, what a weight in 4 bits with its scales sends.
_QUANTISED_SHARE = QUANTISED_BYTES / 2


@dataclass(frozen=True)
class Batch:
    """What each step trains on, of all devices together.

    Attributes:
        tokens: In a step.
        length: Of a row, on average.
        labels: The share of the tokens that is learned.
    """

    tokens: float
    length: float
    labels: float = 0.25


@dataclass(frozen=True)
class Processes:
    """Who shares a step, and how fast they reach each other.

    Attributes:
        count: Processes, a device each, of all machines.
        machines: How many machines they are on.
        network: Bytes a second that a machine sends to the others; 0: not known, and not reckoned.
    """

    count: int = 1
    machines: int = 1
    network: float = 0.0

    def pace(self, link: float) -> float:
        """Gives the bytes a second of a ring through all: as slow as its slowest stretch.

        A ring enters and leaves each machine once, and several rings share its network cards.

        Args:
            link: Bytes a second to the other devices of the machine.
        """
        ways = [link] * (self.count > self.machines) + [self.network] * (self.machines > 1)
        return min((way for way in ways if way), default=0.0)


_ALONE = Processes()


@dataclass(frozen=True)
class StepTime:
    """What is predicted of a step.

    Attributes:
        seconds: That it takes.
        tokens_per_second: Of all devices.
        recomputed: Whether layers are computed anew in the backward pass, for want of memory.
        exchange: Of the seconds, those in which processes exchange weights and gradients.
    """

    seconds: float
    tokens_per_second: float
    recomputed: bool
    exchange: float = 0.0


def step_time(
    shape: ModelShape,
    method: Method,
    device: Device,
    batch: Batch,
    *,
    processes: Processes = _ALONE,
    recomputed: bool | None = None,
) -> StepTime:
    """Predicts how long a step takes.

    Args:
        shape: The model.
        method: How it is tuned.
        device: Each of those that it is tuned on.
        batch: What a step trains on.
        processes: Who shares the step.
        recomputed: Whether layers are computed anew; None where want of memory decides.
    """
    tokens = batch.tokens / processes.count
    at_once, needed = _tokens_at_once(shape, method, device, batch.length, processes.count)
    recomputed = needed if recomputed is None else recomputed
    passes = max(tokens / at_once, 1.0)
    forward = _pass_seconds(shape, method, device, batch, tokens, passes, backward=False)
    again = forward if recomputed else 0.0
    seconds = forward + again
    seconds += _pass_seconds(shape, method, device, batch, tokens, passes, backward=True)
    exchange = _exchange_seconds(shape, method, device, processes, passes)
    seconds += exchange
    shares = processes.count if method.sharded else 1
    trained = method.weights(shape).trained / shares
    seconds += trained * _OPTIMISER_BYTES / device.bandwidth + host_times()["step"]
    return StepTime(seconds, batch.tokens / seconds, recomputed, exchange)


def _tokens_at_once(
    shape: ModelShape, method: Method, device: Device, length: float, processes: int
) -> tuple[float, bool]:
    """Says how many tokens a pass takes, and whether layers must be recomputed for a whole row."""
    most = _MOST_TOKENS[device.cuda]
    for recomputed in (False, True):
        empty, one = (
            footprint(
                shape, method, count, processes=processes, recomputed=recomputed, cuda=device.cuda
            )
            for count in (0, 1)
        )
        fixed = empty.total + _pass_logits(shape, device)
        room = _USABLE_SHARE * (device.memory - fixed)
        fitting = room / (one.activations or 1)
        if fitting >= length:
            return min(fitting, most), recomputed
    return float(length), True


def _pass_logits(shape: ModelShape, device: Device) -> float:
    method = Method("full")
    return footprint(shape, method, _MOST_TOKENS[device.cuda], cuda=device.cuda).logits


def _pass_seconds(
    shape: ModelShape,
    method: Method,
    device: Device,
    batch: Batch,
    tokens: float,
    passes: float,
    *,
    backward: bool,
) -> float:
    """Adds up the passes of one direction in a step, on one device."""
    own = 2.0 if backward and not method.adapters else 1.0
    layers = shape.layers * shape.layer_weights * own
    if method.adapters:
        layers += shape.adapter_weights(method.rank) * (2 if backward else 1)
    labels = tokens * batch.labels
    arithmetic = 2 * (layers * tokens + shape.vocabulary * shape.hidden * own * labels)
    # However few tokens there are, the weights are read.
    products = max(arithmetic / device.products, passes * 2 * shape.weights / device.bandwidth)
    seen = 2.0 * shape.layers * shape.queries * batch.length * tokens
    attention = seen * (_BACKWARD_OF_ATTENTION if backward else 1) / device.attention
    moved = tokens * shape.layers * _moved(shape, method, backward=backward)
    moved += labels * shape.vocabulary * _LOGIT_MOVED / 2
    weights = method.weights(shape)
    moved += passes * weights.quantised * _DEQUANTISED_BYTES
    if not method.adapters:
        moved += passes * 6.0 * shape.weights  # float32 weights are read, bf16 copies written
    on_device = products + attention + moved / device.bandwidth
    layer, rest = _STARTED[method.adapters][backward]
    start = float(host_times()["backward_start" if backward else "forward_start"])
    return max(on_device, passes * (shape.layers * layer + rest) * start)


def _moved(shape: ModelShape, method: Method, *, backward: bool) -> float:
    hidden, feed_forward, queries, keys = _MOVED[method.adapters][backward]
    if shape.query_norms:
        queries += _MOVED_BY_QUERY_NORMS[backward]
        keys += _MOVED_BY_QUERY_NORMS[backward]
    return (
        hidden * shape.hidden
        + feed_forward * shape.feed_forward
        + queries * shape.queries
        + keys * shape.keys
    )


def _exchange_seconds(
    shape: ModelShape, method: Method, device: Device, processes: Processes, passes: float
) -> float:
    """Reckons the exchange among processes, none of it hidden behind computing.

    Rings: each of n processes sends (n - 1) / n of what all gather or reduce and scatter, and twice
    that of what all reduce (Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for
    clusters of workstations"). Gradients travel in float32, gathered weights in bf16.
    """
    pace = processes.pace(device.link)
    if processes.count == 1 or not pace:
        return 0.0
    reduced = 2 * 4 * method.weights(shape).trained
    if not method.sharded:
        sent = float(reduced)
    else:
        gathered = 2 * shape.weights * (_QUANTISED_SHARE if method.four_bit else 1)
        # Forward, and backward again; adapters are whole everywhere, and reduced once a step.
        sent = passes * 2 * gathered
        sent += reduced if method.adapters else passes * 4 * shape.weights
    return (processes.count - 1) / processes.count * sent / pace
