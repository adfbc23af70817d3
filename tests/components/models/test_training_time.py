"""Predicted speed beside what others have published, who ran their own programs on GPUs."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from kfp_llm_tuning.components.models.devices import (
    Device,
    device_named,
    network_of,
    uncertainty,
)
from kfp_llm_tuning.components.models.footprint import Method
from kfp_llm_tuning.components.models.machine_specs import machine_names, select_machine
from kfp_llm_tuning.components.models.model_shapes import ModelShape, shape_of
from kfp_llm_tuning.components.models.training_time import Batch, Processes, step_time


class Published(NamedTuple):
    """A figure: tokens a second of each GPU."""

    model: str
    method: Method
    device: str
    devices: int
    batch: Batch
    rate: float


LORA = Method("adapter", 8)
FIGURES = {
    # NeMo AutoModel, sequences of 4,096 tokens, all of them learned.
    "NeMo, Llama 3 8B": Published(
        "meta-llama/Llama-3.1-8B-Instruct", LORA, "NVIDIA_H100_80GB", 1, Batch(4096, 4096, 1), 12473
    ),
    "NeMo, Qwen2.5 7B": Published(
        "Qwen/Qwen2.5-7B-Instruct", LORA, "NVIDIA_H100_80GB", 1, Batch(4096, 4096, 1), 14110
    ),
    "NeMo, Llama 3 70B": Published(
        "meta-llama/Llama-3.3-70B-Instruct",
        Method("adapter", 8, sharded=True),
        "NVIDIA_H100_80GB",
        8,
        Batch(8 * 4096, 4096, 1),
        1092,
    ),
    # torchtitan, FSDP2 without compile, two sequences of 8,192 tokens a GPU.
    "torchtitan, Llama 3 8B": Published(
        "meta-llama/Llama-3.1-8B-Instruct",
        Method("full", sharded=True),
        "NVIDIA_H100_80GB",
        8,
        Batch(8 * 2 * 8192, 8192, 1),
        5762,
    ),
    # torchtune, packed rows.
    "torchtune, Llama 3.2 3B": Published(
        "meta-llama/Llama-3.2-3B-Instruct",
        Method("full"),
        "NVIDIA_A100_80GB",
        1,
        Batch(8192, 2048, 1),
        7075,
    ),
}


def _known(model: str, device: str) -> tuple[ModelShape, Device]:
    shape, found = shape_of(f"hf://{model}"), device_named(device)
    assert shape and found
    return shape, found


@pytest.mark.parametrize("name", FIGURES)
def test_published_figures_are_met_within_30_percent(name: str) -> None:
    figure = FIGURES[name]
    shape, device = _known(figure.model, figure.device)
    made = step_time(
        shape, figure.method, device, figure.batch, processes=Processes(figure.devices)
    )
    assert made.tokens_per_second / figure.devices == pytest.approx(figure.rate, rel=0.3)
    assert uncertainty("time") > 1.3


def test_layers_are_recomputed_where_a_row_does_not_fit_otherwise() -> None:
    shape, device = _known("Qwen/Qwen2.5-7B-Instruct", "NVIDIA_L4")
    short, long = (
        step_time(shape, LORA, device, Batch(16 * length, length)) for length in (256, 16_384)
    )
    assert not short.recomputed and long.recomputed
    assert short.tokens_per_second > long.tokens_per_second


def test_more_devices_are_faster_and_less_than_so_many_times() -> None:
    shape, device = _known("Qwen/Qwen3-0.6B", "NVIDIA_L4")
    method = Method("full")
    one, four = (
        step_time(shape, method, device, Batch(65_536, 512), processes=Processes(count))
        for count in (1, 4)
    )
    assert one.tokens_per_second < four.tokens_per_second < 4 * one.tokens_per_second


def test_few_tokens_leave_a_gpu_waiting_for_its_host() -> None:
    shape, device = _known("Qwen/Qwen3-0.6B", "NVIDIA_H100_80GB")
    few, none = (step_time(shape, LORA, device, Batch(tokens, 64)) for tokens in (256, 64))
    assert few.seconds == pytest.approx(none.seconds, rel=0.01)


def test_a_ring_is_as_slow_as_its_slowest_stretch() -> None:
    link, network = 300e9, 12.5e9
    assert Processes(8).pace(link) == link
    assert Processes(16, 2, network).pace(link) == network
    assert Processes(2, 2, network).pace(0) == network
    assert Processes(16, 2, 1e12).pace(link) == link
    # One device a machine: no link is on the way.
    assert Processes(2, 2, network).pace(1e9) == network


def test_gradients_that_all_reduce_travel_twice() -> None:
    shape, device = _known("Qwen/Qwen3-0.6B", "NVIDIA_A100_80GB")
    sent = 2 * 3 / 4 * 4 * Method("full").weights(shape).trained
    network = 3e9
    made = step_time(
        shape,
        Method("full"),
        device,
        Batch(65_536, 512),
        processes=Processes(4, 4, network),
    )
    assert made.exchange == pytest.approx(sent / network)


def test_shards_are_gathered_twice_and_gradients_scattered_once() -> None:
    shape, device = _known("Qwen/Qwen2.5-7B-Instruct", "NVIDIA_A100_80GB")
    method, network = Method("full", sharded=True), 12.5e9
    made = step_time(shape, method, device, Batch(16, 1), processes=Processes(16, 2, network))
    assert made.exchange == pytest.approx(15 / 16 * (2 * 2 + 4) * shape.weights / network)
    inside = step_time(shape, method, device, Batch(16, 1), processes=Processes(16))
    assert made.seconds - made.exchange == pytest.approx(inside.seconds - inside.exchange)


@pytest.mark.parametrize("name", [name for name in machine_names() if not name.startswith("tpu")])
def test_the_network_of_each_machine_is_known(name: str) -> None:
    assert network_of(select_machine("", name)) >= 16e9 / 8 * 0.75
