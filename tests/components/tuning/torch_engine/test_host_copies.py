from __future__ import annotations

import pytest
import torch

from kfp_llm_tuning.components.tuning.torch_engine import host_copies
from kfp_llm_tuning.components.tuning.torch_engine.host_copies import (
    copied_where_it_fits,
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
        monkeypatch.setattr(host_copies, "available_bytes", lambda _, free=free: free)
        assert fits_in_host_memory(states) is fits
        assert (copied_where_it_fits(states) is not None) is fits
