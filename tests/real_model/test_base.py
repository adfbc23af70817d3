"""The model before it is tuned: a real one, made as a whole, that ends its answers by itself."""

from __future__ import annotations

import json
import runpy
import subprocess
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.manifest import damages
from kfp_llm_tuning.components.models.model_references import resolve
from tests.real_model.runs import COMMAND, ROOT


def test_it_is_whole_and_made_once(base: Path) -> None:
    assert damages(base) == []
    assert "license: apache-2.0" in (base / "README.md").read_text(encoding="utf-8")
    made = (base / "model.safetensors").stat().st_mtime_ns
    assert runpy.run_path(str(ROOT / "examples" / "orders" / "make_model.py"))["make"]() == base
    assert (base / "model.safetensors").stat().st_mtime_ns == made


def test_its_padding_is_its_end_of_turn(tokenizer: Any) -> None:
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert tokenizer.eos_token == "<|im_end|>"


def test_it_is_asked_by_its_template_and_ends_its_answer(base: Path) -> None:
    command = [*COMMAND, "predict", str(base), "What is the capital of France?", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["content"] == "The capital of France is Paris."
    assert answer["finished"] is True


def test_a_folder_of_its_shape_is_a_model_like_any_other(base: Path) -> None:
    assert resolve(str(base)).checkpoint == str(base)
