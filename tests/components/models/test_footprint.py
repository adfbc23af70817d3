"""Memory that follows from the number of weights."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.models.footprint import Weights, state_bytes

SEVEN = 7_000_000_000


def test_a_trained_weight_takes_16_bytes_and_a_frozen_one_its_own() -> None:
    assert state_bytes(Weights(SEVEN)) == 112e9
    assert state_bytes(Weights(10**6, SEVEN)) == 14e9 + 16e6
    assert state_bytes(Weights(10**6, SEVEN), frozen_bytes=4) == 28e9 + 16e6


def test_four_bits_and_their_scales_are_held_of_a_quantised_weight() -> None:
    assert state_bytes(Weights(0, 0, SEVEN)) == pytest.approx(7e9 * 0.5625)


def test_shares_are_an_nth_and_replicas_hold_all_and_gradients_once_more() -> None:
    assert state_bytes(Weights(SEVEN), processes=8, sharded=True) == 14e9
    assert state_bytes(Weights(SEVEN), processes=8) == 140e9
