from __future__ import annotations

import threading

import pytest
import torch

from kfp_llm_tuning.components.tuning.torch_engine import background_saving
from kfp_llm_tuning.components.tuning.torch_engine.background_saving import (
    BackgroundSaving,
    fits_in_host_memory,
    host_copy,
)


def test_copies_stay_what_they_were_and_share_what_was_shared() -> None:
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    states = {"model": model.state_dict(), "optimizer": {"state": [{"step": 3}], "lr": (0.1,)}}
    expected = model["a"].weight.detach().clone()
    copies = host_copy(states)
    with torch.no_grad():
        model["a"].weight.add_(1)
    assert torch.equal(copies["model"]["a.weight"], expected)
    assert copies["model"]["a.weight"] is copies["model"]["b.weight"]
    assert copies["model"]["a.bias"] is not copies["model"]["b.bias"]
    assert copies["optimizer"] == states["optimizer"]


def test_what_fits_is_told_from_the_size_of_all_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"model": {"a": torch.zeros(10)}, "optimizer": [{"b": torch.zeros(15)}]}
    for free, fits in ((200, True), (199, False)):
        monkeypatch.setattr(background_saving, "available_bytes", lambda _, free=free: free)
        assert fits_in_host_memory(states) is fits


def test_a_writing_is_told_of_once_when_it_has_ended() -> None:
    saving, gate = BackgroundSaving(), threading.Event()
    assert not saving.finished(wait=True)
    saving.start({}, lambda _: gate.wait(60) and None)
    assert not saving.finished(wait=False)
    gate.set()
    assert saving.finished(wait=True)
    assert not saving.finished(wait=True)
    saving.close()


def test_without_room_for_copies_it_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_saving, "fits_in_host_memory", lambda _: False)
    saving, states, written = BackgroundSaving(), {"a": torch.zeros(1)}, []
    saving.start(states, written.append)
    assert written[0] is states
    assert saving.finished(wait=False)
    assert not saving.finished(wait=True)


def test_what_a_writing_raises_is_raised_where_it_is_waited_for() -> None:
    saving = BackgroundSaving()
    saving.start({}, lambda _: int("no number"))
    with pytest.raises(ValueError, match="no number"):
        saving.finished(wait=True)
    saving.close()
