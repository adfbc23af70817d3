"""Steps of the tuner, counted on models without weights."""

from __future__ import annotations

import dataclasses

import pytest
from counted_operations import H200
from counted_steps import StepCount, Way, count_layers, count_step, token_budget
from model_shapes import SHAPES, make_config, operations_of_a_token
from real_lengths import of_one_length

TWO = [of_one_length(2, 64)]


def test_a_model_of_many_layers_is_counted_by_those_of_one_and_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deep = dict(SHAPES) | {"deep": {**SHAPES["tiny"], "num_hidden_layers": 5}}
    monkeypatch.setattr("model_shapes.SHAPES", deep)
    way = Way(packed=True)
    foretold = count_step("deep", "adapter", way, TWO, H200)
    counted = count_layers("deep", 5, "adapter", way, TWO, H200)
    for part in ("forward", "backward"):
        one, other = (dataclasses.asdict(getattr(count, part)) for count in (foretold, counted))
        assert one == pytest.approx(other)
    assert foretold.trained == counted.trained


def test_arithmetic_is_that_of_the_published_formula_where_all_is_learned_in_full() -> None:
    rows = [dataclasses.replace(one, starts=one.starts * 0 + 1) for one in of_one_length(4, 64)]
    count = count_step("tiny", "full", Way(packed=False), [rows], H200)
    needed = operations_of_a_token(make_config("tiny"), "full", 63)
    # The kernel computes its scores anew for the backward pass, which the formula leaves out.
    arithmetic = count.forward.arithmetic + count.backward.arithmetic
    assert arithmetic / (4 * 63) == pytest.approx(needed, rel=0.05)


def test_no_padding_is_read_where_sequences_lie_end_to_end() -> None:
    mixed = [[*of_one_length(1, 64), *of_one_length(3, 16)]]
    padded, packed = (
        count_step("tiny", "adapter", Way(packed=packed), mixed, H200) for packed in (False, True)
    )
    assert packed.forward.arithmetic < 0.6 * padded.forward.arithmetic


def test_fused_kernels_start_fewer_operations_and_do_the_same_arithmetic() -> None:
    plain, fused = (
        count_step("tiny", "adapter", Way(True, fused=fused), TWO, H200) for fused in (False, True)
    )
    assert fused.forward.operations < 0.8 * plain.forward.operations
    assert fused.forward.arithmetic == plain.forward.arithmetic
    assert fused.forward.other < 0.7 * plain.forward.other


def test_of_gpu_and_host_the_slower_one_counts() -> None:
    count = count_step("tiny", "adapter", Way(packed=True), TWO, H200)
    starts = (
        count.forward.operations * H200.forward_start
        + count.backward.operations * H200.backward_start
    )
    assert count.seconds(H200) == pytest.approx(starts + H200.step, rel=0.01)
    slow = dataclasses.replace(H200, memory=1e6)
    slow_count = count_step("tiny", "adapter", Way(packed=True), TWO, slow)
    assert slow_count.seconds(slow) > slow_count.forward.seconds + slow_count.backward.seconds


def test_what_is_counted_can_be_added() -> None:
    count = count_layers("tiny", 1, "full", Way(packed=False), TWO, H200)
    assert count + count == count * 2
    assert isinstance(count, StepCount)


def test_more_memory_lets_more_tokens_be_taken_at_once() -> None:
    small, large = (
        token_budget("tiny", "full", Way(True), 64, dataclasses.replace(H200, bytes=size))
        for size in (2e9, 4e9)
    )
    assert 1 < small.training < large.training
    assert small.recomputed_every == 0


def test_layers_are_recomputed_where_the_longest_row_does_not_fit_else() -> None:
    gpu = dataclasses.replace(H200, bytes=1e9)
    usual = token_budget("tiny", "full", Way(True), 1, gpu)
    longer = token_budget("tiny", "full", Way(True), usual.training + 1, gpu)
    assert longer.recomputed_every > 0
    count = count_step("tiny", "full", Way(packed=True), TWO, H200)
    assert count.recomputing(0) == count
    again = count.recomputing(2).backward.arithmetic - count.backward.arithmetic
    assert again == pytest.approx(count.forward.arithmetic / 2)
