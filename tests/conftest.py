"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Timed tests fail on busy machines; a failure must be found again by the next who runs the suite.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

# Set before any test imports the libraries that read them: no test may reach a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED_DATA = Path(__file__).parents[1].parent / "shared" / "data"

# What starts a service of others, our server, or a tuning run: `make quick` leaves it out.
STAND_INS = {
    *("vertex_server", "idle_vertex", "sdk", "kubeflow", "kubeflow_server", "server"),
    *("start_server", "make_run", "whole_run"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that need a stand-in, by their fixtures."""
    for item in items:
        if STAND_INS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.stand_in)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets that stands beside the checkout; skips where it does not."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real datasets at {SHARED_DATA}")
    return SHARED_DATA
