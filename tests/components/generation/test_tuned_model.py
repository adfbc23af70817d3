"""Asking a model: byte-tiny, which knows nothing, so that only the way to it is looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.reading.lines import LongLine
from kfp_llm_tuning.components.data.rows import Message
from kfp_llm_tuning.components.generation.engine import Generation, GenerationRequest
from kfp_llm_tuning.components.generation.instances import (
    Instance,
    instance_from_row,
    parse_instances,
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


def test_text_rows_in_every_spelling() -> None:
    lines = [b'\xef\xbb\xbf{"input_text": "a", "output_text": "b"}\r\n', b"\n"]
    lines += [b'{"prompt": "a"}', b'{"content": "a", "extra": 1}']
    assert parse_instances(lines, "x.jsonl") == [text_instance("a")] * 3


def test_answer_of_a_conversation_is_left_out() -> None:
    user, assistant = {"author": "user", "content": "q"}, {"author": "assistant", "content": "a"}
    asked = Instance((Message("user", "q"),), "be kind", is_chat=True)
    assert instance_from_row({"messages": [user], "context": "be kind"}) == asked
    assert instance_from_row({"messages": [user, assistant], "context": "be kind"}) == asked
    longer = instance_from_row({"messages": [user, assistant, user]})
    assert [message.content for message in longer.messages] == ["q", "a", "q"]


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        "text",
        {},
        {"input_text": 5},
        {"messages": []},
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"messages": [{"author": "user"}]},
        {"messages": [{"author": "assistant", "content": "a"}]},
        {"messages": [{"author": "bot", "content": "a"}]},
        {"messages": [{"author": "user", "content": "a"}] * 2},
        {"messages": [{"author": "user", "content": "a"}], "context": 5},
    ],
)
def test_row_that_asks_nothing(row: Any) -> None:
    with pytest.raises(UserError):
        instance_from_row(row)


@pytest.mark.parametrize("row", [{"prompt": "a\ud800"}, {"messages": [], "context": "\udfff"}])
def test_half_a_character_is_refused(row: Any) -> None:
    row = {**row, "messages": [{"author": "user", "content": "a"}]} if "messages" in row else row
    with pytest.raises(UserError, match="half of a surrogate pair"):
        instance_from_row(row)


def test_every_bad_line_is_told() -> None:
    with pytest.raises(UserError) as caught:
        parse_instances([b"{", b'{"prompt": "a"}', b"[]", b"\xff"], "x.jsonl")
    assert [problem.where for problem in caught.value.problems] == [
        f"x.jsonl, line {number}" for number in (1, 3, 4)
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"prompt": NaN}', "nan is no finite number"),
        (b'{"prompt": "\\ud800"}', "half a character"),
        (b'{"prompt": "a", "prompt": "b"}', "prompt: stands 2 times in one object"),
        (b'{"prompt": "a", "n": ' + b"9" * 5000 + b"}", "a number of 5,000 digits"),
        (LongLine(40_000_000), "40,000,000 bytes are too much"),
    ],
)
def test_hostile_lines_are_told(line: bytes | LongLine, told: str) -> None:
    with pytest.raises(UserError, match=f"x.jsonl, line 2: .*{told}"):
        parse_instances([b'{"prompt": "a"}', line], "x.jsonl")


def test_empty_file() -> None:
    with pytest.raises(UserError, match="nothing to predict"):
        parse_instances([b"\n"], "x.jsonl")


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
    chat = instance_from_row({"messages": [{"author": "user", "content": "hi"}], "context": "c"})
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
