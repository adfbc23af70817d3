"""Asking a model: byte-tiny, which knows nothing, so that only the way to it is looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.rows import Message
from kfp_llm_tuning.components.generation.engine import Generation, GenerationRequest
from kfp_llm_tuning.components.generation.instances import (
    Instance,
    text_instance,
)
from kfp_llm_tuning.components.generation.tuned_model import TunedModel
from kfp_llm_tuning.components.upload.mlflow_flavor import ServedModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was tuned with inputs of at most 64 tokens and outputs of at most 8."""
    from kfp_llm_tuning.components.models import byte_tiny

    path = tmp_path_factory.mktemp("byte-tiny")
    byte_tiny.build(path)
    provenance = {"prompt_format": "plain", "max_input_tokens": 64, "max_output_tokens": 8}
    (path / "tuning.json").write_text(json.dumps(provenance))
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> TunedModel:
    return TunedModel(folder)


def test_prompt_is_written_as_in_training(
    model: TunedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    engine = model.engine
    real = engine.generate

    def recording(requests: Sequence[GenerationRequest]) -> list[Generation]:
        prompts = [request.prompt for request in requests]
        asked.extend(engine.tokenizer.decode(p, skip_special_tokens=True) for p in prompts)
        return real(requests)

    monkeypatch.setattr(engine, "generate", recording)
    chat = Instance((Message("user", "hi"),), "c", is_chat=True)
    model.answer([text_instance("hello"), chat])
    assert asked == ["hello\n", "c\n\nuser:\nhi\nassistant:\n"]


def test_limits_of_the_tuning_are_kept_and_told(model: TunedModel) -> None:
    short, long = model.answer([text_instance("a"), text_instance("b" * 500)])
    assert (short.input_truncated, long.input_truncated) == (False, True)
    tokenizer = model.engine.tokenizer
    assert len(tokenizer(short.content)["input_ids"]) <= 8 * 3
    (one,) = model.answer([text_instance("a")], max_output_tokens=1)
    assert not one.finished
    assert short.content.startswith(one.content)


def test_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json is missing"):
        TunedModel(tmp_path)


def test_mlflow_flavour_takes_lists_and_tables(folder: Path, model: TunedModel) -> None:
    import pandas

    served = ServedModel(folder)
    expected = [answer.content for answer in model.answer([text_instance("a")] * 2, 3)]
    parameters = {"max_output_tokens": 3}
    assert served.predict(["a", {"prompt": "a"}], parameters) == expected
    table = pandas.DataFrame({"input_text": ["a", "a"]})
    assert served.predict(table, parameters) == expected
