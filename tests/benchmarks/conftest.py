"""Benchmarks are scripts that import one another from their own folder."""

from __future__ import annotations

import sys

import pytest
from accelerate.state import AcceleratorState

from tests.import_graph import ROOT

sys.path.append(str(ROOT / "benchmarks"))


@pytest.fixture(autouse=True)
def fresh_accelerator() -> None:
    """Forgets in which arithmetic tests of before have tuned in this process."""
    AcceleratorState._reset_state()
