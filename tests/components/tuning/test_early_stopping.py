from __future__ import annotations

import pytest

from kfp_llm_tuning.components.tuning.early_stopping import BestStep, EarlyStopping


def stops_at(values: list[float], patience: int = 8, tolerance: float = 0.001) -> int | None:
    rule = EarlyStopping(patience, tolerance)
    return next((number for number, value in enumerate(values, 1) if rule.update(value)), None)


def test_it_never_stops_while_the_metric_rises() -> None:
    assert stops_at([0.1 + 0.01 * number for number in range(60)]) is None


def test_it_stops_after_eight_evaluations_without_a_rise() -> None:
    assert stops_at([0.5] * 20) == 9


def test_a_rise_in_the_last_evaluation_starts_the_count_again() -> None:
    assert stops_at([0.5] + [0.4] * 7 + [0.6] + [0.5] * 20) == 9 + 8


@pytest.mark.parametrize(
    ("value", "is_rise"), [(0.5004, False), (0.5005, False), (0.50051, True), (0.49, False)]
)
def test_the_tolerance_is_relative_to_the_best(value: float, is_rise: bool) -> None:
    rule = EarlyStopping(patience=8, tolerance=0.001)
    rule.update(0.5)
    rule.update(value)
    assert (rule.without_rise == 0) is is_rise


def test_small_rises_do_not_add_up() -> None:
    # Each is below the tolerance over the best; their sum is not, once it passes it.
    assert stops_at([0.5 + 0.00002 * number for number in range(20)]) == 9


def test_from_zero_any_rise_counts() -> None:
    rule = EarlyStopping(patience=2, tolerance=0.001)
    rule.update(0.0)
    assert not rule.update(1e-9)
    assert rule.best == 1e-9


def test_the_best_step_is_the_earliest_of_the_highest() -> None:
    best = BestStep()
    assert best.update(20, 0.5)
    assert not best.update(40, 0.5)
    assert best.update(60, 0.5001)
    assert not best.update(80, 0.1)
    assert (best.step, best.value) == (60, 0.5001)


def test_a_first_value_of_zero_is_a_best_step() -> None:
    best = BestStep()
    assert best.update(20, 0.0)
    assert best.step == 20
