"""``plan`` says whether the machines hold a run."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.parameters.pipeline import TEXT_TEMPLATE
from kfp_llm_tuning.pipelines.planning import room_check
from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.planning.planned_run import PlannedRun, Tuner
from kfp_llm_tuning.pipelines.planning.room_check import check_room, longest_row

SEVENTY = resolve("llama-3.3-70b-instruct")


def summary(prompt: int, answer: int) -> Mock:
    training = Mock(input_tokens=Mock(maximum=prompt), output_tokens=Mock(maximum=answer))
    return Mock(training=training)


def checked(reference: ModelReference, tuner: Tuner, prompt: int = 100) -> list[Check]:
    run = PlannedRun(TEXT_TEMPLATE, {}, Mock())
    return check_room(run, summary(prompt, 50), reference, tuner)


def test_a_run_that_fits_is_told_what_it_takes() -> None:
    found, disk = checked(resolve("text-bison@001"), Tuner("l4-1"))
    assert found.status == disk.status == "ok"
    assert "about 32 GB of disk" in disk.text and "of 200 GB" in disk.text
    for part in ("7.6 billion weights", "LoRA", "24 GB", "150 tokens"):
        assert part in found.text


def test_a_part_of_a_machine_and_several_machines_are_reckoned_with() -> None:
    found, _ = checked(resolve("text-bison@001"), Tuner("l4-8", part=0.25, count=2))
    assert "4 devices" in found.text
    (refused,) = checked(SEVENTY, Tuner("l4-8", part=1 / 8, listed_prices=False))
    assert refused.status == "problem" and "tuning_machine=" not in refused.fix


def test_long_rows_are_within_the_model_s_limits() -> None:
    reference = resolve("text-bison@001")
    assert longest_row(summary(100, 50), reference) == 150
    limits = reference.max_input_tokens + reference.max_output_tokens
    assert longest_row(summary(10**6, 10**6), reference) == limits


def test_what_no_endpoint_holds_is_told_before_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_check, "parameter_count", lambda _: 10**12)
    found = checked(resolve("text-bison@001"), Tuner("a100-80gb-8"))
    assert [check.status for check in found] == ["ok", "ok", "problem"]
    assert "deploy_model" in found[2].text


def test_an_unknown_model_and_a_machine_that_is_not_named_are_left_open() -> None:
    (found,) = checked(resolve("gs://bucket/some-model"), Tuner("l4-1"))
    assert found.status == "unknown"
    assert checked(SEVENTY, Tuner("", listed_prices=False)) == []
