from __future__ import annotations

import threading

import pytest

from kfp_llm_tuning.components.tuning.background_saving import BackgroundSaving


def test_a_writing_is_told_of_once_when_it_has_ended() -> None:
    saving, gate = BackgroundSaving(dict), threading.Event()
    assert not saving.finished(wait=True)
    saving.start({}, lambda _: gate.wait(60) and None)
    assert not saving.finished(wait=False)
    gate.set()
    assert saving.finished(wait=True)
    assert not saving.finished(wait=True)
    saving.close()


def test_without_room_for_copies_it_is_done_at_once() -> None:
    saving, states, written = BackgroundSaving(lambda _: None), {"a": 1}, []
    saving.start(states, written.append)
    assert written[0] is states
    assert saving.finished(wait=False)
    assert not saving.finished(wait=True)


def test_what_a_writing_raises_is_raised_where_it_is_waited_for() -> None:
    saving = BackgroundSaving(dict)
    saving.start({}, lambda _: int("no number"))
    with pytest.raises(ValueError, match="no number"):
        saving.finished(wait=True)
    saving.close()
