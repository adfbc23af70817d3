from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.log_pace import seconds_between_lines


@pytest.mark.parametrize(("hours", "most_lines"), [(0.02, 15), (1, 120), (10, 700)])
def test_long_work_tells_less_often(hours: float, most_lines: int) -> None:
    elapsed, lines = 0.0, 0
    while elapsed < hours * 3600:
        elapsed += seconds_between_lines(elapsed)
        lines += 1
        assert seconds_between_lines(elapsed) <= 60
    assert lines <= most_lines
