from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kfp_llm_tuning.components.tuning import memory, run_settings
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory

BASE: Any = SimpleNamespace(model=SimpleNamespace(to=lambda device: None), bf16=False)


@pytest.mark.parametrize(
    ("longest", "fits", "expected"),
    [(100, 8, 8), (570, 8, 3), (5000, 8, 1), (570, 2, 2), (570, 0, 1)],
)
def test_a_processor_takes_no_more_examples_at_once_than_make_it_faster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, longest: int, fits: int, expected: int
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(
        memory, "fitting_examples", lambda model, device, *, most, **_: min(fits, most)
    )
    settings = run_settings.decide_settings(
        TuningArguments("m", train_steps=1, batch_size=8),
        BASE,
        SimpleNamespace(longest=longest),  # type: ignore[arg-type]
        CheckpointDirectory(tmp_path),
    )
    assert settings.micro_batch_size == expected
    assert not settings.gradient_checkpointing


def test_a_size_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    settings = run_settings.decide_settings(
        TuningArguments("m", train_steps=1, batch_size=8, micro_batch_size=6),
        BASE,
        SimpleNamespace(longest=5000),  # type: ignore[arg-type]
        CheckpointDirectory(tmp_path),
    )
    assert settings.micro_batch_size == 6
