"""What fits on which machine, and what makes it fit."""

from __future__ import annotations

import dataclasses

import pytest

from kfp_llm_tuning.components.models.feasibility import (
    Setup,
    changes,
    smallest_machine,
    verdict,
)
from kfp_llm_tuning.components.models.footprint import Method
from kfp_llm_tuning.components.models.machine_specs import machine_names, select_machine
from kfp_llm_tuning.components.models.model_shapes import shape_of

SEVEN, SEVENTY = "hf://Qwen/Qwen2.5-7B-Instruct", "hf://meta-llama/Llama-3.3-70B-Instruct"


def setup(checkpoint: str, tuning: str, machine: str) -> Setup:
    shape = shape_of(checkpoint)
    assert shape
    made = Setup.on(select_machine("", machine), shape, Method(tuning))
    assert made
    return made


@pytest.mark.parametrize("machine", ["l4-1", "a100-40gb-1", "a100-80gb-8", "h100-8"])
def test_adapters_of_the_published_stand_in_fit_on_every_gpu(machine: str) -> None:
    assert verdict(setup(SEVEN, "adapter", machine)).fits


def test_what_16_bytes_a_weight_exceed_is_impossible() -> None:
    found = verdict(dataclasses.replace(setup(SEVEN, "full", "a100-80gb-8"), sharding="none"))
    assert found.impossible and not found.fits
    assert "where there are 85 GB" in found.text


def test_a_prediction_that_may_be_wrong_forbids_nothing() -> None:
    made = setup(SEVEN, "adapter", "l4-1")
    needed = verdict(made).needed.total
    less = dataclasses.replace(made, device=dataclasses.replace(made.device, memory=needed / 1.1))
    assert not verdict(less).fits and not verdict(less).impossible


def test_the_smallest_changes_come_first() -> None:
    found = list(changes(setup(SEVEN, "full", "l4-1"), chooses_machine=True))
    assert found[0].startswith("tuning_method=adapter")
    assert any(text.startswith("tuning_machine=") for text in found)
    alone = list(changes(setup(SEVEN, "full", "l4-1"), chooses_machine=False))
    assert not any("machine" in text for text in alone)


def test_every_change_that_is_offered_makes_it_fit() -> None:
    made = setup(SEVENTY, "adapter", "a100-40gb-1")
    named = [
        text.removeprefix("tuning_machine=")
        for text in changes(made, chooses_machine=True)
        if text.startswith("tuning_machine=")
    ]
    assert all(verdict(setup(SEVENTY, "adapter", name)).fits for name in named)


def test_small_models_are_proposed_small_machines() -> None:
    small = smallest_machine(setup("builtin://byte-tiny", "full", "h100-8"))
    large = smallest_machine(setup(SEVEN, "adapter", "h100-8"))
    assert small and small.name == "cpu-16"
    assert large and large.name == "l4-1"


def test_every_machine_has_a_device() -> None:
    assert all(setup(SEVEN, "adapter", name) for name in machine_names())
