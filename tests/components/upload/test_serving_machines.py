from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.upload.serving_machines import (
    named_megabytes,
    serving_machine,
    weights_megabytes,
)


@pytest.mark.parametrize(
    ("megabytes", "description"),
    [
        (1, "e2-standard-4"),
        (2000, "e2-standard-4"),
        (15_240, "g2-standard-12 with 1 x NVIDIA_L4"),
        (None, "g2-standard-12 with 1 x NVIDIA_L4"),
        (65_000, "a2-ultragpu-2g with 2 x NVIDIA_A100_80GB"),
    ],
)
def test_the_smallest_machine_that_holds_the_weights(megabytes: int, description: str) -> None:
    assert serving_machine(megabytes).description == description


def test_weights_that_no_machine_holds() -> None:
    with pytest.raises(UserError, match="1,400 GB fit no machine"):
        serving_machine(1_400_000)


@pytest.mark.parametrize(
    ("checkpoint", "megabytes"),
    [
        ("hf://Qwen/Qwen2.5-7B-Instruct", 14_000),
        ("hf://HuggingFaceTB/SmolLM2-135M-Instruct", 270),
        ("hf://Qwen/Qwen3-0.6B", 1200),
        ("builtin://byte-tiny", None),
        ("gs://bucket/model-v2b1", None),
    ],
)
def test_weight_by_name(checkpoint: str, megabytes: int | None) -> None:
    assert named_megabytes(checkpoint) == megabytes


def test_weight_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model-1.safetensors").write_bytes(bytes(1_500_000))
    (tmp_path / "model-2.safetensors").write_bytes(bytes(600_000))
    (tmp_path / "tokenizer.json").write_bytes(bytes(9_000_000))
    assert weights_megabytes(tmp_path) == 3
