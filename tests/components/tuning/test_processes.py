from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kfp_llm_tuning.components.common.errors import EXIT_RUN_AGAIN
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.interruption import Interruption

WAITING = """
import time
from kfp_llm_tuning.components.tuning import processes
with processes.ending_if_abandoned():
    time.sleep({seconds})
"""


def test_a_process_whose_launcher_is_gone_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv(processes.LAUNCHER_VARIABLE, str(os.getppid()))
    assert not Interruption().requested
    monkeypatch.setenv(processes.LAUNCHER_VARIABLE, str(os.getpid()))
    interruption = Interruption()
    assert interruption.requested
    assert "is gone" in interruption.reason


def test_nobody_is_missed_who_started_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv(processes.LAUNCHER_VARIABLE, raising=False)
    assert not processes.is_abandoned()  # Another's launcher.
    monkeypatch.setenv(processes.LAUNCHER_VARIABLE, str(os.getpid()))
    monkeypatch.delenv("RANK")
    assert not processes.is_abandoned()  # The launcher itself.


@pytest.mark.parametrize(
    ("is_gone", "seconds", "code"), [(True, 60, EXIT_RUN_AGAIN), (False, 0.01, 0)]
)
def test_who_waits_for_others_without_a_launcher_ends_to_be_run_again(
    is_gone: bool, seconds: float, code: int
) -> None:
    launcher = os.getppid() if is_gone else os.getpid()
    variables = {"RANK": "1", processes.LAUNCHER_VARIABLE: str(launcher)}
    command = [sys.executable, "-c", WAITING.format(seconds=seconds)]
    done = subprocess.run(command, env=os.environ | variables, check=False, timeout=30)
    assert done.returncode == code
