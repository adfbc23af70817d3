from __future__ import annotations

import numpy as np

from kfp_llm_tuning.components.tuning.initial_adapters import initial_matrix

PLACE = "model.layers.0.mlp.up_proj"


def test_values_depend_on_seed_and_place_alone() -> None:
    first = initial_matrix(3, PLACE, 4, 100)
    assert np.array_equal(first, initial_matrix(3, PLACE, 4, 100))
    assert not np.array_equal(first, initial_matrix(4, PLACE, 4, 100))
    assert not np.array_equal(first, initial_matrix(3, "model.layers.1.mlp.up_proj", 4, 100))


def test_they_are_spread_as_peft_spreads_them() -> None:
    drawn = initial_matrix(0, PLACE, 64, 400)
    assert (drawn.shape, drawn.dtype) == ((64, 400), np.float32)
    assert 0.0499 < np.abs(drawn).max() <= 0.05
    assert abs(float(drawn.std()) - 0.05 / np.sqrt(3)) < 1e-3
