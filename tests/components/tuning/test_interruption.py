from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from kfp_llm_tuning.components.tuning.interruption import RUN_PID_VARIABLE, Interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    interruption = Interruption()
    with interruption.watching():
        assert not interruption.requested
        os.kill(os.getpid(), number)
        assert interruption.requested
        assert interruption.reason == f"received {number.name}"
        assert signal.getsignal(number) is signal.SIG_DFL  # A second one ends the process.
    assert signal.getsignal(number) is before


def test_the_end_of_the_run_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setenv(RUN_PID_VARIABLE, str(run.pid))
    interruption = Interruption()
    assert not interruption.requested
    run.communicate(b"\n")
    assert interruption.requested
    assert str(run.pid) in interruption.reason


def test_without_a_run_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_PID_VARIABLE, raising=False)
    assert not Interruption().requested


def test_other_threads_leave_signals_alone() -> None:
    handlers = []

    def work() -> None:
        with Interruption().watching():
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]
