"""byte-tiny: one token a byte, any text comes back, the same weights every time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from kfp_llm_tuning.components.models import byte_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("byte-tiny")
    byte_tiny.build(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


# Lone surrogates are no text: UTF-8 has no bytes for them.
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=_TEXT | _TEXT.map(lambda text: f"<eos>{text}<bos><pad>"))
def test_any_text_is_its_bytes_and_comes_back(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert ids == [tokenizer.bos_token_id, *(byte + 3 for byte in text.encode())]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_special_tokens(tokenizer: Any) -> None:
    ids = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert ids == (0, 1, 2)
    assert len(tokenizer) == 259
    assert tokenizer("a", add_special_tokens=False)["input_ids"] == [ord("a") + 3]
    assert tokenizer.chat_template is None


def test_two_builds_are_equal_to_the_byte(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    byte_tiny.build(tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        assert _digest(folder / name) == _digest(tmp_path / name), name


def test_building_leaves_the_random_state_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    byte_tiny.build_model()
    assert torch.equal(torch.rand(3), expected)


def test_the_model_loads_and_generates(folder: Path, tokenizer: Any) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert 1_500_000 <= model.num_parameters() <= 2_500_000
    assert model.config.max_position_embeddings >= 8192 + 1024
    assert model.config.vocab_size == len(tokenizer)
    prompt = tokenizer("hello", return_tensors="pt")
    written = model.generate(**prompt, max_new_tokens=3, min_new_tokens=3)
    assert written.shape == (1, 6 + 3)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_only_safetensors_and_a_card_that_says_it_knows_nothing(folder: Path) -> None:
    assert [path.name for path in folder.glob("*.safetensors")] == ["model.safetensors"]
    assert not [*folder.glob("*.bin"), *folder.glob("*.pt")]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "knows nothing before it is tuned" in card
    assert f"Version {byte_tiny.VERSION} of the recipe" in card


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
