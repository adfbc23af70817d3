"""What this machine computes fastest in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from kfp_llm_tuning.components.models import precision


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., torch.dtype]]:
    """Gives the type that is chosen on a processor of such speeds."""

    def choose(short: float, long: float) -> torch.dtype:
        precision.has_fast_bf16.cache_clear()
        monkeypatch.setattr(precision, "_seconds_of_products", lambda *dtypes: [short, long])
        return precision.fastest_dtype()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    yield choose
    precision.has_fast_bf16.cache_clear()


@pytest.mark.parametrize(
    ("short", "expected"),
    [(0.15, torch.bfloat16), (0.5, torch.bfloat16), (1.0, torch.float32), (2.0, torch.float32)],
    ids=["tiles", "twice as fast", "no faster", "half as fast"],
)
def test_bfloat16_is_taken_where_it_is_worth_it(
    told: Callable[..., torch.dtype], short: float, expected: torch.dtype
) -> None:
    assert told(short, 1.0) is expected


def test_a_process_asks_once(
    told: Callable[..., torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(0.5, 1.0) is torch.bfloat16
    monkeypatch.setattr(precision, "_seconds_of_products", lambda *dtypes: [2.0, 1.0])
    assert precision.fastest_dtype() is torch.bfloat16


def test_every_type_is_tried() -> None:
    seconds = precision._seconds_of_products(torch.bfloat16, torch.float32)
    assert len(seconds) == 2
    assert all(0 < value < 10 for value in seconds)
