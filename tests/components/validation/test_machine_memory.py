"""A request whose model does not fit its machine is refused with what would make it fit."""

from __future__ import annotations

import dataclasses

import pytest

from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.validation.machine_memory import (
    memory_findings,
    method_of,
    setup_of,
)
from tests.components.validation.pipeline_requests import VERTEX, check, problems


def test_a_model_of_70_billion_weights_is_refused_on_a_small_gpu() -> None:
    told = problems(
        VERTEX, large_model_reference="llama-3.3-70b-instruct", tuning_machine="a100-40gb-1"
    )
    (memory,) = [problem for problem in told if "memory" in problem]
    for part in ("tuning_machine", "71 billion weights", "LoRA", "a100-40gb-1", "42 GB"):
        assert part in memory


def test_full_tuning_is_told_the_smallest_change() -> None:
    told = problems(VERTEX, tuning_method="full", tuning_machine="l4-1")
    assert "Give tuning_method=adapter (LoRA)" in told[0]


@pytest.mark.parametrize("reference", ["text-bison@001", "text-bison", "code-bison@002"])
@pytest.mark.parametrize("method", ["tune_v2", "tune"])
def test_published_requests_are_let_through(reference: str, method: str) -> None:
    asked = {"large_model_reference": reference, "tuning_method": method}
    assert check(VERTEX, accelerator_type="GPU", **asked).machine


def test_of_an_unknown_model_nothing_is_said() -> None:
    reference = resolve("gs://bucket/some-model")
    assert setup_of(reference, {}, select_machine("GPU")) is None
    assert check(VERTEX, large_model_reference="gs://bucket/some-model").machine


def test_what_may_fit_is_warned_about() -> None:
    setup = setup_of(resolve("text-bison@001"), {}, select_machine("", "l4-1"))
    assert setup and not memory_findings(setup).warnings
    short = dataclasses.replace(setup, device=dataclasses.replace(setup.device, memory=17.5e9))
    found = memory_findings(short)
    assert not found.problems
    assert "It may not fit" in found.warnings[0]


def test_the_arguments_of_the_tuner_say_how_it_is_tuned() -> None:
    reference = resolve(TEXT["large_model_reference"].default)
    assert method_of(reference, {"lora_rank": 64}).rank == 64
    assert method_of(reference, {"lora_rank": "no number"}).rank == 16
