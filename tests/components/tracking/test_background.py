"""Tracking in a thread of its own."""

from __future__ import annotations

import subprocess
import sys

_BEGIN = """
import sys
from kfp_llm_tuning.components.tracking.background import BackgroundTracker

assert "requests" not in sys.modules
found = []
requests = lambda: sys.modules.get("requests")
tracker = BackgroundTracker("MLflow", lambda: found.append(hasattr(requests(), "get")))
tracker.do(lambda opened: None)
tracker.close(seconds=60)
print(found)
"""


def test_what_trackers_and_clients_both_import_is_whole_before_the_thread_begins() -> None:
    ran = subprocess.run([sys.executable, "-c", _BEGIN], capture_output=True, text=True, check=True)
    assert ran.stdout == "[True]\n"
