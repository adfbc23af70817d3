from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from kfp_llm_tuning.components.tuning.mirror import Mirror

ARGS = SimpleNamespace(world_size=1)
MAIN = SimpleNamespace(is_world_process_zero=True)


def test_a_checkpoint_is_copied_before_the_next_one_and_the_end() -> None:
    copied: list[int] = []
    gate = threading.Event()

    def copy() -> None:
        gate.wait(5)
        copied.append(len(copied))

    mirror = Mirror(checkpoints=[copy])
    mirror.on_save(ARGS, MAIN, None)
    assert copied == []
    gate.set()
    mirror.on_save(ARGS, MAIN, None)
    assert 0 in copied
    mirror.on_train_end(ARGS, MAIN, None)
    assert copied == [0, 1]


def test_metrics_are_copied_at_evaluations_unless_a_copy_is_under_way() -> None:
    calls: list[str] = []
    gate = threading.Event()
    mirror = Mirror(checkpoints=[lambda: gate.wait(5) and None], metrics=[lambda: calls.append("")])
    mirror.on_evaluate(ARGS, MAIN, None)
    mirror.wait()
    mirror.on_save(ARGS, MAIN, None)
    mirror.on_evaluate(ARGS, MAIN, None)
    gate.set()
    mirror.wait()
    assert len(calls) == 2


def test_a_copy_that_fails_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    copied: list[Any] = []

    def fail() -> None:
        raise PermissionError("denied")

    mirror = Mirror(checkpoints=[fail], metrics=[lambda: copied.append(1)])
    mirror.on_save(ARGS, MAIN, None)
    mirror.wait()
    assert copied == [1]
    assert "(PermissionError: denied); training goes on" in caplog.text


def test_only_the_main_process_copies() -> None:
    copied: list[Any] = []
    mirror = Mirror(checkpoints=[lambda: copied.append(1)], metrics=[lambda: copied.append(2)])
    other = SimpleNamespace(is_world_process_zero=False)
    mirror.on_save(ARGS, other, None)
    mirror.on_evaluate(ARGS, other, None)
    mirror.on_train_end(ARGS, other, None)
    assert copied == []
