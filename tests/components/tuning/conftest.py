"""A tiny model and encoded sets, made once a session."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components.tuning.runs import Run

VOCABULARY = 96
EOS = 2


def write_encoded(folder: Path, rows: list[tuple[list[int], int]]) -> Path:
    """Writes rows of (input_ids, prompt_length) as the encoder does."""
    from datasets import Dataset, Features, List, Value, disable_progress_bars

    disable_progress_bars()
    folder.mkdir(parents=True, exist_ok=True)
    if rows:
        integer = Value("int32")
        features = Features(
            {"input_ids": List(integer), "prompt_length": integer, "line": integer, "turn": integer}
        )
        columns = {
            "input_ids": [ids for ids, _ in rows],
            "prompt_length": [prompt for _, prompt in rows],
            "line": list(range(1, len(rows) + 1)),
            "turn": [0] * len(rows),
        }
        Dataset.from_dict(columns, features=features).save_to_disk(str(folder))
    facts = {
        "examples": len(rows),
        "tokens": sum(len(ids) for ids, _ in rows),
        "label_tokens": sum(len(ids) - prompt for ids, prompt in rows),
        "max_input_tokens": 64,
        "max_output_tokens": 16,
        "content_hash": f"{folder.name}-{len(rows)}",
        "source_sha256": "0" * 64,
        "source_bytes": 1000,
        "source_uri": "rows.jsonl",
        "prompt_format": "plain",
        "stop_token_ids": [EOS],
    }
    (folder / "encoding.json").write_text(json.dumps(facts))
    return folder


def make_rows(count: int, seed: int = 0) -> list[tuple[list[int], int]]:
    """Makes rows whose label copies the prompt's first tokens, of uneven lengths."""
    import numpy as np

    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        prompt = generator.integers(3, VOCABULARY, generator.integers(4, 20)).tolist()
        label = prompt[: int(generator.integers(1, 4))]
        rows.append(([*prompt, *label, EOS], len(prompt)))
    return rows


@pytest.fixture(scope="session")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes an encoded set of given rows to a new folder."""

    def write(rows: list[tuple[list[int], int]]) -> Path:
        return write_encoded(tmp_path_factory.mktemp("encoded") / "set", rows)

    return write


@pytest.fixture(scope="session")
def train_folder(encoded: Callable[..., Path]) -> Path:
    """40 examples."""
    return encoded(make_rows(40))


@pytest.fixture(scope="session")
def evaluation_folder(encoded: Callable[..., Path]) -> Path:
    """13 examples: no multiple of anything."""
    return encoded(make_rows(13, seed=1))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Makes sums run in the same order here and in the processes that tests start."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers in Hugging Face layout, with a tokenizer."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-model")
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=EOS,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    vocabulary = {"<pad>": 0, "<bos>": 1, "<eos>": EOS}
    vocabulary |= {f"t{number}": number for number in range(3, VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>")),
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def make_run(
    tmp_path: Path, tiny_model: Path, train_folder: Path, evaluation_folder: Path
) -> Callable[..., Run]:
    """Makes runs of the test's own."""

    def make(name: str = "run", *, evaluation: Path | None = evaluation_folder) -> Run:
        return Run(tmp_path / name, tiny_model, train_folder, evaluation)

    return make


@pytest.fixture(scope="session")
def whole_run(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    train_folder: Path,
    evaluation_folder: Path,
) -> Run:
    """An uninterrupted run of the defaults."""
    run = Run(tmp_path_factory.mktemp("whole"), tiny_model, train_folder, evaluation_folder)
    run.tune()
    return run
