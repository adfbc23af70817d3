"""What is predicted of a run's memory is what its process takes."""

from __future__ import annotations

import pytest
from footprint import MEMORY_ERROR, measure_apart


@pytest.mark.slow
def test_predicted_memory_is_within_15_percent_of_what_a_small_run_takes() -> None:
    found = measure_apart("llama, full, 90M")
    assert found.predicted_bytes == pytest.approx(found.bytes, rel=MEMORY_ERROR)
