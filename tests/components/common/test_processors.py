from __future__ import annotations

import os

import pytest
import torch

from kfp_llm_tuning.components.common import contention, processors


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of threads that a watch was asked for; torch keeps its own number."""
    before = torch.get_num_threads()
    asked: list[int] = []
    monkeypatch.setattr(contention, "watch", asked.append)
    for variable in ("OMP_NUM_THREADS", "LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        monkeypatch.delenv(variable, raising=False)
    yield asked
    torch.set_num_threads(before)


def test_threads_are_as_many_as_the_processors_that_may_be_used(
    watched: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # joblib's own variable: a quota that it would read from the control group.
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    processors.prepare_to_compute()
    assert torch.get_num_threads() == 1
    assert watched == [1]
    assert os.environ["LRU_CACHE_CAPACITY"] == "64"
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "64"


def test_what_the_user_has_set_stays(watched: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    torch.set_num_threads(3)
    processors.prepare_to_compute()
    assert torch.get_num_threads() == 3
    assert watched == [3]
    assert os.environ["LRU_CACHE_CAPACITY"] == "7"
