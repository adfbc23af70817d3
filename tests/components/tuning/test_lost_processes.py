from __future__ import annotations

import pytest
import torch

from kfp_llm_tuning.components.common.errors import RunAgain
from kfp_llm_tuning.components.tuning.lost_processes import loss_is_an_interruption

GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Connection reset by peer"


@pytest.mark.parametrize(
    "error", [RuntimeError(GLOO), torch.distributed.DistBackendError("NCCL error: remote exited")]
)
def test_a_process_whose_fellows_are_gone_asks_to_be_run_again(
    error: RuntimeError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(RunAgain, match="another process of this run is gone"),
        loss_is_an_interruption(),
    ):
        raise error


@pytest.mark.parametrize(("count", "text"), [("1", GLOO), ("2", "CUDA out of memory")])
def test_a_fault_of_its_own_stays_one(
    count: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", count)
    with pytest.raises(RuntimeError, match=r"gloo|memory"), loss_is_an_interruption():
        raise RuntimeError(text)
