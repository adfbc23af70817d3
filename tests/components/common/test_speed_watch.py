from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.speed_watch import SpeedWatch


def told(speeds: list[float]) -> list[str]:
    watch = SpeedWatch("tok/s")
    return [text for speed in speeds if (text := watch.warning(speed))]


def test_a_fall_of_the_speed_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow = [900.0] * 9, [200.0] * 9
    (text,) = told([10.0, *fast, *slow])
    assert "from 900 to 200 tok/s" in text
    assert "Look for a lack of memory" in text
    monkeypatch.setattr("kfp_llm_tuning.components.common.contention.waiting_share", lambda: 0.45)
    again = told([10.0, *fast, *slow, *fast, *slow])
    assert ["waited for one 45%" in text for text in again] == [True, True]


def test_slow_first_steps_and_single_slow_ones_are_no_fall() -> None:
    assert not told([1.0, *[900.0] * 6, 100.0, 100.0, *[900.0] * 6, 400.0])
    assert not told([900.0, *[100.0] * 9, *[900.0] * 9])


def test_slow_work_is_told_with_its_fractions() -> None:
    (text,) = told([1.0, *[1.25] * 9, *[0.125] * 9])
    assert "from 1.2 to 0.12 tok/s" in text
