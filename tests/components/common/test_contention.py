from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from kfp_llm_tuning.components.common import contention

SECOND = 1_000_000_000


class FakeThreads:
    kept = 0

    def __init__(self, library: object, size: int) -> None:
        FakeThreads.kept += 1

    def release(self) -> None:
        FakeThreads.kept -= 1


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> contention.ContentionWatch:
    monkeypatch.setattr(contention, "IdleThreads", FakeThreads)
    return contention.ContentionWatch(library=None, team_size=2)  # type: ignore[arg-type]


def look(watch: contention.ContentionWatch, share: float, times: int = 1) -> None:
    for _ in range(times):
        watch.look(int((1 - share) * SECOND), int(share * SECOND))


def test_gives_way_while_others_want_the_processors(watch: contention.ContentionWatch) -> None:
    look(watch, 0.2, times=9)
    assert not watch.giving_way
    look(watch, 0.3)
    assert watch.giving_way
    assert watch.share == pytest.approx(0.3)
    # Short calm spells end nothing: whoever gives way waits less.
    for _ in range(3):
        look(watch, 0.01, times=4)
        look(watch, 0.2)
    assert watch.giving_way
    assert FakeThreads.kept == 1
    look(watch, 0.01, times=5)
    assert not watch.giving_way
    assert FakeThreads.kept == 0


def in_a_new_process(code: str, **environment: str) -> str:
    """Runs code after two threads of torch have computed; the environment is that alone."""
    begin = """
        import os, torch
        from kfp_llm_tuning.components.common import contention
        torch.ones(100_000).add_(1)
        def threads():
            return len(os.listdir("/proc/self/task"))
    """
    script = textwrap.dedent(begin) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script],
        env={"OMP_NUM_THREADS": "2", **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP and /proc are Linux's")
def test_a_real_team_comes_and_goes() -> None:
    printed = in_a_new_process("""
        before = threads()
        team = contention.IdleThreads(contention._loaded_openmp(), 3)
        while threads() < before + 3:
            pass
        team.release()
        while threads() > before:
            pass
        print("as before")
    """)
    assert printed == "as before\n"


@pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP and /proc are Linux's")
def test_a_users_policy_and_a_single_thread_are_left_alone() -> None:
    code = """
        contention.watch({threads})
        contention.watch({threads})
        import threading
        print([thread.name for thread in threading.enumerate()][1:], contention.waiting_share())
    """
    started = "['contention-watch'] 0.0\n"
    assert in_a_new_process(code.format(threads=2)) == started
    assert in_a_new_process(code.format(threads=1)) == "[] 0.0\n"
    assert in_a_new_process(code.format(threads=2), OMP_WAIT_POLICY="PASSIVE") == "[] 0.0\n"


def test_a_thread_that_ended_takes_nothing_from_the_others() -> None:
    before = {"1": (1_000, 10), "2": (9_000_000, 0)}
    assert contention.passed(before, {"1": (1_400, 20), "3": (50, 5)}) == (450, 15)
    assert contention.passed(before, {"2": (100, 0)}) == (0, 0)  # A number that is used again.
