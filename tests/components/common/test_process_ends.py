from __future__ import annotations

import signal

import pytest

from kfp_llm_tuning.components.common.process_ends import is_crash, killing_signal


@pytest.mark.parametrize(
    ("exit_code", "expected"),
    [
        (0, None),
        (1, None),
        (13, None),
        (75, None),
        (-9, signal.SIGKILL),
        (137, signal.SIGKILL),
        (139, signal.SIGSEGV),
        (255, None),
    ],
)
def test_the_signal_that_killed_a_process(exit_code: int, expected: signal.Signals | None) -> None:
    assert killing_signal(exit_code) == expected


def test_crashes_are_told_from_what_others_do() -> None:
    assert [is_crash(code) for code in (-11, 134, 137, -15, 1, 0)] == [True, True] + [False] * 4
