"""What tests of several components share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from transformers import PreTrainedTokenizerFast

from kfp_llm_tuning.components.models import byte_tiny
from tests.components.chat_tokenizers import TEMPLATES, build_chat_tokenizer

if TYPE_CHECKING:
    from tests.vertex.local_vertex import LocalVertex


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level Llama of random weights, with the files that the tuner leaves."""
    import torch
    from transformers import LlamaForCausalLM

    folder = tmp_path_factory.mktemp("model")
    config = byte_tiny.build_config()
    config.update(
        {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            # Weights this large tell every token from every other.
            "initializer_range": 0.3,
        }
    )
    torch.manual_seed(3)
    LlamaForCausalLM(config).save_pretrained(folder)
    byte_tiny.build_tokenizer().save_pretrained(folder)
    facts = {"model_reference": "byte-tiny", "max_input_tokens": 64, "max_output_tokens": 24}
    (folder / "tuning.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite registry without content: MLflow takes seconds to make one."""
    from kfp_llm_tuning.components.tracking.connection import connect

    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def registry_uri(empty_database: Path, tmp_path: Path) -> str:
    """The URI of a registry of the test's own."""
    path = tmp_path / "registry" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(empty_database, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def _vertex_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVertex]:
    # Whoever forks a component takes this file along, without the local Vertex AI.
    from tests.vertex.local_vertex import local_vertex

    with local_vertex(tmp_path_factory.mktemp("vertex")) as server:
        server.storage.create_bucket("bucket")
        yield server


@pytest.fixture
def vertex_server(_vertex_server: LocalVertex) -> LocalVertex:
    """A local Vertex AI that holds nothing, with the bucket ``bucket``; this process calls it."""
    for name in list(_vertex_server.store):
        if name in _vertex_server.store:
            _vertex_server.store.remove(name)
    _vertex_server.faults.clear()
    _vertex_server.requests.clear()
    return _vertex_server


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's clients wait between tries in no time, and think that it has passed."""
    from google.api_core.retry import retry_base, retry_unary

    clock = [0.0]

    class Time:
        @staticmethod
        def monotonic() -> float:
            return clock[0]

        @staticmethod
        def sleep(seconds: float) -> None:
            clock[0] += seconds

    monkeypatch.setattr(retry_base, "time", Time)
    monkeypatch.setattr(retry_unary, "time", Time)


@pytest.fixture(scope="session")
def chat_tokenizers() -> dict[str, PreTrainedTokenizerFast]:
    """A tokenizer for each of the templates, by the template's name."""
    return {name: build_chat_tokenizer(name) for name in TEMPLATES}


@pytest.fixture(params=TEMPLATES)
def chat_tokenizer(
    request: pytest.FixtureRequest, chat_tokenizers: dict[str, PreTrainedTokenizerFast]
) -> PreTrainedTokenizerFast:
    """Each of the tokenizers with a chat template in turn."""
    return chat_tokenizers[request.param]


@pytest.fixture(scope="session")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of byte-tiny: a byte a token, <bos> before each text, no chat template."""
    return byte_tiny.build_tokenizer()


@pytest.fixture(scope="session")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes an encoded set of given rows to a new folder."""
    from tests.components.encoded_sets import write_encoded

    def write(rows: list[tuple[list[int], int]]) -> Path:
        return write_encoded(tmp_path_factory.mktemp("encoded") / "set", rows)

    return write


@pytest.fixture(scope="session")
def train_folder(encoded: Callable[..., Path]) -> Path:
    """40 examples."""
    from tests.components.encoded_sets import make_rows

    return encoded(make_rows(40))


@pytest.fixture(scope="session")
def evaluation_folder(encoded: Callable[..., Path]) -> Path:
    """13 examples: no multiple of anything."""
    from tests.components.encoded_sets import make_rows

    return encoded(make_rows(13, seed=1))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers in Hugging Face layout, with a tokenizer."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from tests.components.encoded_sets import EOS, VOCABULARY

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
