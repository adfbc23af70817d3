"""The same rows in every format are checked, learned, answered and judged alike, bad rows too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.artifacts import load_sequences
from kfp_llm_tuning.components.data.formats.registry import write_row
from kfp_llm_tuning.components.data.reading.findings import Findings
from kfp_llm_tuning.components.data.reading.row_format import detect_format
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rows import ChatRow, Message, Row, TextRow, ToolCall
from kfp_llm_tuning.components.dataset.encode import Limits, encode_dataset
from kfp_llm_tuning.components.dataset.preprocess import Part, Source, preprocess_dataset
from kfp_llm_tuning.components.evaluation.artifacts import Prediction, read_predictions
from kfp_llm_tuning.components.evaluation.evaluate import evaluate_model
from kfp_llm_tuning.components.evaluation.local_model import BaseModelReference
from kfp_llm_tuning.components.evaluation.prediction import batch_predict
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer
from kfp_llm_tuning.components.validation.dataset import Request, validate_dataset
from tests.components.tool_tokenizers import build_tool_tokenizer
from tests.components.tuning.runs import Run

REAL_DATA = Path(__file__).parents[3] / "shared/data"
ROWS = 200
HELD_OUT = 0.1
LIMITS = Limits(max_input_tokens=1024, max_output_tokens=64)
BROKEN_LINE = 137

WrittenRow: TypeAlias = dict[str, Any]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real datasets are not there"),
]


@dataclass(frozen=True)
class Outcome:
    """What all stages made of one file."""

    counts: Mapping[str, object]
    tokens: list[list[list[int]]]
    weights: Mapping[str, torch.Tensor]
    answers: list[Prediction]
    metrics: Mapping[str, object]


@cache
def read_rows(name: str) -> list[Row]:
    rows: list[Row] = []
    path = str(REAL_DATA / name / "train.jsonl")
    scan(path, detect_format(path), Findings(0), lambda _, row: rows.append(row), window=ROWS)
    return list(islice(rows, ROWS))


def with_tools(row: Row) -> ChatRow:
    """Makes a dialogue with a service one that calls it before its last answer, and learns that."""
    assert isinstance(row, ChatRow)
    services = re.findall(r"\w+_\d", str(row.context)) or ["Search_1"]
    tools = [
        {
            "name": f"ask_{service.lower()}",
            "description": f"Asks the service {service}.",
            "parameters": {
                "type": "object",
                "properties": {"request": {"type": "string"}, "most": {"type": "integer"}},
                "required": ["request"],
            },
        }
        for service in services
    ]
    *history, answer = row.messages
    for said in history:
        said.learned = False
    asked = {"request": history[-1].content, "most": len(history)}
    call = ToolCall(f"ask_{services[-1].lower()}", asked, "call00001")
    told = Message("tool", '{"found":true}', name=call.name, tool_call_id=call.id)
    return ChatRow(
        [*history, Message("assistant", "", tool_calls=(call,)), told, answer],
        row.context,
        tuple({"type": "function", "function": tool} for tool in tools),
    )


def preference(row: Row) -> WrittenRow:
    assert isinstance(row, TextRow)
    return {"prompt": row.input_text, "chosen": row.output_text, "rejected": "No idea."}


def write(row: Row, name: FormatName) -> WrittenRow:
    return preference(row) if name == FormatName.PREFERENCE else write_row(row, name)


def write_file(rows: list[WrittenRow], folder: Path) -> str:
    folder.mkdir()
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(file)


def request(uri: str, model: Path) -> Request:
    return Request(
        uri, evaluation_fraction=HELD_OUT, large_model_reference=str(model), train_steps=4
    )


def count(uri: str, model: Path) -> dict[str, object]:
    """Validates, and gives the figures that have nothing to do with how a row is written."""
    summary = validate_dataset(request(uri, model)).summary
    assert summary.valid, summary.findings
    assert summary.evaluation
    figures = (
        *("examples", "good_examples", "training_examples"),
        *("input_tokens", "output_tokens", "input_characters"),
    )
    sets = (summary.training, summary.evaluation)
    return {
        "steps": summary.steps,
        **{name: [getattr(each, name) for each in sets] for name in figures},
    }


def run_stages(rows: list[WrittenRow], model: Path, folder: Path) -> Outcome:
    uri = write_file(rows, folder)
    tokenizer = load_tokenizer(model)
    tokens = []
    for name in ("train", "evaluation"):
        part = Part(HELD_OUT, held_out=name == "evaluation")
        records = folder / f"{name}-records"
        preprocess_dataset(Source(uri, str(model), part=part), tokenizer, records)
        encode_dataset(records, tokenizer, LIMITS, folder / name)
        tokens.append(load_sequences(folder / name).to_dict())
    run = Run(folder / "run", model, folder / "train", folder / "evaluation")
    run.tune(train_steps=4, batch_size=8)
    records = (folder / "evaluation-records", folder / "train-records")
    batch_predict(*records, BaseModelReference(str(model)), folder / "base")
    batch_predict(*records, run.paths.output, folder / "tuned")
    evaluate_model(folder / "base", folder / "tuned", run.paths.metrics, folder / "evaluated")
    evaluated = json.loads((folder / "evaluated/evaluation.json").read_text())
    return Outcome(
        count(uri, model),
        tokens,
        run.weights(),
        read_predictions(folder / "tuned").predictions,
        {name: evaluated[name] for name in ("task", "examples", "primary", "metrics")},
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights whose chat template writes tools."""
    folder = tmp_path_factory.mktemp("tool-model")
    tokenizer = build_tool_tokenizer("qwen")
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def expected_of_texts(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    rows = [write(row, FormatName.PUBLISHED) for row in read_rows("clinc150")]
    return run_stages(rows, model, tmp_path_factory.mktemp("texts") / "published")


@pytest.fixture(scope="module")
def conversations() -> list[Row]:
    return [with_tools(row) for row in read_rows("sgd")]


@pytest.fixture(scope="module")
def expected_of_conversations(
    conversations: list[Row], model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    rows = [write(row, FormatName.OPENAI) for row in conversations]
    return run_stages(rows, model, tmp_path_factory.mktemp("conversations") / "openai")


def assert_same(found: Outcome, expected: Outcome) -> None:
    assert found.counts == expected.counts
    assert found.tokens == expected.tokens
    assert found.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        assert torch.equal(found.weights[name], weight), name
    assert found.answers == expected.answers
    assert found.metrics == expected.metrics


def test_what_is_compared_is_there(
    expected_of_texts: Outcome, expected_of_conversations: Outcome
) -> None:
    for expected in (expected_of_texts, expected_of_conversations):
        assert expected.counts["examples"] == [180, 20]
        assert expected.metrics["primary"]
    assert expected_of_texts.metrics["task"] == "classification"
    assert expected_of_texts.counts["training_examples"] == [180, 20]
    assert expected_of_conversations.counts["training_examples"] == [360, 40]
    assert any("<tool_call>" in said.reference for said in expected_of_conversations.answers)
    assert all("<tools>" in said.prompt for said in expected_of_conversations.answers)


@pytest.mark.parametrize("name", [each for each in FormatName if each != FormatName.PUBLISHED])
def test_texts(name: FormatName, expected_of_texts: Outcome, model: Path, tmp_path: Path) -> None:
    rows = [write(row, name) for row in read_rows("clinc150")]
    assert_same(run_stages(rows, model, tmp_path / name), expected_of_texts)


@pytest.mark.parametrize(
    "name", [FormatName.GEMINI, FormatName.SHAREGPT, FormatName.PROMPT_COMPLETION]
)
def test_conversations_with_tools(
    name: FormatName,
    conversations: list[Row],
    expected_of_conversations: Outcome,
    model: Path,
    tmp_path: Path,
) -> None:
    rows = [write(row, name) for row in conversations]
    assert_same(run_stages(rows, model, tmp_path / name), expected_of_conversations)


def _without_text(name: str) -> Callable[[WrittenRow], None]:
    return lambda row: row.update({name: ""})


def _with_stranger(messages: str, author: str) -> Callable[[WrittenRow], None]:
    return lambda row: row[messages][-1].update({author: "robot"})


BREAKS = {
    FormatName.PUBLISHED: (_without_text("output_text"), "output_text"),
    FormatName.OPENAI: (_with_stranger("messages", "role"), "messages[1].role"),
    FormatName.GEMINI: (_with_stranger("contents", "role"), "contents[1].role"),
    FormatName.PROMPT_COMPLETION: (_without_text("completion"), "completion"),
    FormatName.ALPACA: (_without_text("output"), "output"),
    FormatName.SHAREGPT: (_with_stranger("conversations", "from"), "conversations[1].from"),
    FormatName.PREFERENCE: (_without_text("chosen"), "chosen"),
}


@pytest.mark.parametrize("name", FormatName)
def test_a_broken_row_is_refused_with_its_line(
    name: FormatName, model: Path, tmp_path: Path
) -> None:
    rows = [write(row, name) for row in read_rows("clinc150")]
    spoil, path = BREAKS[name]
    spoil(rows[BROKEN_LINE - 1])
    uri = write_file(rows, tmp_path / name)
    summary = validate_dataset(request(uri, model)).summary
    [finding] = [each for each in summary.findings if each.severity == "error"]
    assert not summary.valid
    assert summary.training.good_examples + 1 == summary.training.examples
    assert (finding.line, finding.path) == (BROKEN_LINE, path)
    with pytest.raises(UserError) as refused:
        preprocess_dataset(Source(uri, str(model)), load_tokenizer(model), tmp_path / "records")
    [problem] = refused.value.problems
    assert str(problem) == f"{finding.where}: {finding.message}"
