"""Rates by the size of a folder's weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kfp_llm_tuning.components.models.learning_rates import rates_by_size
from kfp_llm_tuning.components.models.model_references import resolve

SMALL, LARGER = {"adapter": 1e-3, "full": 5e-5}, {"adapter": 5e-4, "full": 3e-5}
SIZES = [
    {"most_parameters": 6, "learning_rates": SMALL},
    {"most_parameters": 12, "learning_rates": LARGER},
]


def folder_of(path: Path, parameters: int) -> Path:
    path.mkdir(exist_ok=True)
    save_file({"a": np.zeros((parameters, 1), np.float16)}, path / "model.safetensors")
    return path


@pytest.mark.parametrize(
    ("parameters", "expected"), [(6, SMALL), (7, LARGER), (12, LARGER), (13, {})]
)
def test_the_first_size_that_is_enough_decides(
    tmp_path: Path, parameters: int, expected: dict[str, float]
) -> None:
    assert rates_by_size(str(folder_of(tmp_path / "model", parameters)), SIZES) == expected


def test_a_size_that_is_not_known_has_no_rates(tmp_path: Path) -> None:
    broken = folder_of(tmp_path / "model", 6)
    with (broken / "model.safetensors").open("r+b") as stream:
        stream.truncate(9)
    assert rates_by_size(str(broken), SIZES) == {}
    assert rates_by_size(str(tmp_path / "nowhere"), SIZES) == {}
    assert rates_by_size("hf://organisation/name", SIZES) == {}
    assert rates_by_size("/" + "long" * 1000, SIZES) == {}


def test_a_small_folder_is_not_tuned_as_a_large_model(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model", 6)
    assert resolve(str(folder)).learning_rate == 1e-3
    assert resolve(str(folder), "full").learning_rate == 5e-5
    assert resolve("gs://bucket/model").learning_rate == 2e-4


def test_a_checkpoint_of_the_table_has_its_numbers_whatever_names_it() -> None:
    direct, named = (
        resolve(reference)
        for reference in ("hf://HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m-instruct")
    )
    assert direct.learning_rate == named.learning_rate == 1e-3
    assert direct.context_tokens == named.context_tokens
    assert direct.license == "apache-2.0"
