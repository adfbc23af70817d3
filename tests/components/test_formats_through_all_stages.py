"""The same rows in every format are checked, learned, answered and judged alike, bad rows too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from itertools import islice
from operator import getitem
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.artifacts import load_sequences
from kfp_llm_tuning.components.data.formats.alpaca import ALPACA
from kfp_llm_tuning.components.data.formats.conversations import as_conversation
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.gemini import GEMINI
from kfp_llm_tuning.components.data.formats.openai_chat import OPENAI
from kfp_llm_tuning.components.data.formats.preference import CONVERSATIONAL_PREFERENCE, PREFERENCE
from kfp_llm_tuning.components.data.formats.prompt_completion import (
    CONVERSATIONAL_PROMPT_COMPLETION,
    PROMPT_COMPLETION,
)
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.formats.registry import FORMATS
from kfp_llm_tuning.components.data.formats.sharegpt import SHAREGPT
from kfp_llm_tuning.components.data.reading.findings import Findings, Severity, list_problems
from kfp_llm_tuning.components.data.reading.row_format import detect_format
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rows import (
    ChatRow,
    Message,
    Row,
    RowFormat,
    TextRow,
    ToolCall,
)
from kfp_llm_tuning.components.dataset.encode import Limits, encode_dataset
from kfp_llm_tuning.components.dataset.preprocess import Part, Source, preprocess_dataset
from kfp_llm_tuning.components.evaluation.artifacts import Prediction, read_predictions
from kfp_llm_tuning.components.evaluation.evaluate import evaluate_model
from kfp_llm_tuning.components.evaluation.local_model import BaseModelReference
from kfp_llm_tuning.components.evaluation.prediction import batch_predict
from kfp_llm_tuning.components.models import byte_tiny
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer
from kfp_llm_tuning.components.validation.dataset import Request, validate_dataset
from tests.components.tool_tokenizers import build_tool_tokenizer
from tests.components.tuning.runs import Run

REAL_DATA = Path(__file__).parents[3] / "shared/data"
ROWS = 200
HELD_OUT = 0.1
STEPS = 10
LIMITS = Limits(max_input_tokens=1024, max_output_tokens=32)
FIRST_BROKEN_LINE = 137

WrittenRow: TypeAlias = dict[str, Any]
# The names and positions that lead to a value within a row.
Keys: TypeAlias = tuple[str | int, ...]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real datasets are not there"),
]


@dataclass(frozen=True)
class Outcome:
    """What all stages made of one file."""

    counts: Mapping[str, object]
    tokens: list[list[list[int]]]
    losses: list[dict[str, Any]]
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
    if isinstance(row, TextRow):
        return {"prompt": row.input_text, "chosen": row.output_text, "rejected": "No idea."}
    *asked, answer = ({"role": said.author, "content": said.content} for said in row.messages)
    return {"prompt": asked, "chosen": [answer], "rejected": [{**answer, "content": "No idea."}]}


def write(row: Row, known: Format) -> WrittenRow:
    if known.row_format == RowFormat.CHAT:
        row = as_conversation(row)
    return preference(row) if known.name == FormatName.PREFERENCE else known.write(row)


def intents(known: Format) -> list[WrittenRow]:
    return [write(row, known) for row in read_rows("clinc150")]


def write_file(rows: list[WrittenRow], folder: Path) -> str:
    folder.mkdir()
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(file)


def request(uri: str, model: Path) -> Request:
    return Request(
        uri, evaluation_fraction=HELD_OUT, large_model_reference=str(model), train_steps=STEPS
    )


def count(uri: str, model: Path, known: Format) -> dict[str, object]:
    """Validates, and gives the figures that have nothing to do with how a row is written."""
    validation = validate_dataset(request(uri, model))
    summary = validation.summary
    assert summary.valid, summary.findings
    notes = map(str, list_problems(validation.findings, Severity.NOTE))
    assert any(f"read as {known.title}, 180" in note for note in notes)
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


def run_stages(rows: list[WrittenRow], known: Format, model: Path, folder: Path) -> Outcome:
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
    run.tune(train_steps=STEPS, batch_size=4)
    records = (folder / "evaluation-records", folder / "train-records")
    batch_predict(*records, BaseModelReference(str(model)), folder / "base")
    batch_predict(*records, run.paths.output, folder / "tuned")
    evaluate_model(folder / "base", folder / "tuned", run.paths.metrics, folder / "evaluated")
    evaluated = json.loads((folder / "evaluated/evaluation.json").read_text())
    return Outcome(
        count(uri, model, known),
        tokens,
        run.history(),
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
def byte_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """byte-tiny, which has no chat template: it tells conversations from texts."""
    folder = tmp_path_factory.mktemp("byte-tiny")
    byte_tiny.build(folder)
    return folder


@pytest.fixture(scope="module")
def expected(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("expected") / "rows"
    return run_stages(intents(PUBLISHED_TEXT), PUBLISHED_TEXT, model, folder)


@pytest.fixture(scope="module")
def expected_of_bytes(
    byte_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[RowFormat, Outcome]:
    folder = tmp_path_factory.mktemp("expected")
    return {
        known.row_format: run_stages(intents(known), known, byte_model, folder / known.row_format)
        for known in (PUBLISHED_TEXT, PUBLISHED_CHAT)
    }


@pytest.fixture(scope="module")
def conversations() -> list[Row]:
    return [with_tools(row) for row in read_rows("sgd")]


@pytest.fixture(scope="module")
def expected_of_tools(
    conversations: list[Row], model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    rows = [write(row, OPENAI) for row in conversations]
    return run_stages(rows, OPENAI, model, tmp_path_factory.mktemp("expected") / "rows")


def assert_same(found: Outcome, expected: Outcome) -> None:
    assert found.counts == expected.counts
    assert found.tokens == expected.tokens
    assert found.losses == expected.losses
    assert found.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        assert torch.equal(found.weights[name], weight), name
    assert found.answers == expected.answers
    assert found.metrics == expected.metrics


def title(known: Format) -> str:
    return known.title


def test_what_is_compared_is_there(expected: Outcome, expected_of_tools: Outcome) -> None:
    for outcome in (expected, expected_of_tools):
        assert outcome.counts["examples"] == [180, 20]
        assert outcome.metrics["primary"]
        assert outcome.losses
    assert expected.metrics["task"] == "classification"
    assert expected.counts["training_examples"] == [180, 20]
    assert expected_of_tools.counts["training_examples"] == [360, 40]
    assert any("<tool_call>" in said.reference for said in expected_of_tools.answers)
    assert all("<tools>" in said.prompt for said in expected_of_tools.answers)


@pytest.mark.parametrize("known", [each for each in FORMATS if each != PUBLISHED_TEXT], ids=title)
def test_texts_and_conversations_are_the_same_through_a_chat_template(
    known: Format, expected: Outcome, model: Path, tmp_path: Path
) -> None:
    assert_same(run_stages(intents(known), known, model, tmp_path / "rows"), expected)


@pytest.mark.parametrize(
    "known",
    [each for each in FORMATS if each not in (PUBLISHED_TEXT, PUBLISHED_CHAT)],
    ids=title,
)
def test_texts_and_conversations_each_are_the_same_without_one(
    known: Format,
    expected_of_bytes: Mapping[RowFormat, Outcome],
    byte_model: Path,
    tmp_path: Path,
) -> None:
    found = run_stages(intents(known), known, byte_model, tmp_path / "rows")
    assert_same(found, expected_of_bytes[known.row_format])


@pytest.mark.parametrize("known", [GEMINI, SHAREGPT, CONVERSATIONAL_PROMPT_COMPLETION], ids=title)
def test_conversations_with_tools(
    known: Format,
    conversations: list[Row],
    expected_of_tools: Outcome,
    model: Path,
    tmp_path: Path,
) -> None:
    rows = [write(row, known) for row in conversations]
    assert_same(run_stages(rows, known, model, tmp_path / "rows"), expected_of_tools)


@dataclass(frozen=True)
class Answer:
    """Where in a row the answer of clinc150 stands, and who gives it."""

    text: Keys
    author: Keys = ()
    required: Keys = ()
    stranger: str = "unknown_role"


ANSWERS = {
    PUBLISHED_TEXT: Answer(("output_text",)),
    PUBLISHED_CHAT: Answer(
        ("messages", 1, "content"), ("messages", 1, "author"), stranger="unknown_author"
    ),
    OPENAI: Answer(("messages", 1, "content"), ("messages", 1, "role")),
    GEMINI: Answer(
        ("contents", 1, "parts", 0, "text"), ("contents", 1, "role"), ("contents", 1, "parts")
    ),
    PROMPT_COMPLETION: Answer(("completion",)),
    CONVERSATIONAL_PROMPT_COMPLETION: Answer(
        ("completion", 0, "content"), ("completion", 0, "role")
    ),
    ALPACA: Answer(("output",)),
    SHAREGPT: Answer(("conversations", 1, "value"), ("conversations", 1, "from")),
    PREFERENCE: Answer(("chosen",)),
    CONVERSATIONAL_PREFERENCE: Answer(("chosen", 0, "content"), ("chosen", 0, "role")),
}


def holder(row: WrittenRow, keys: Keys) -> Any:
    """Gives the object that has the last of the keys."""
    return reduce(getitem, keys[:-1], row)  # type: ignore[arg-type]


def path_of(keys: Keys) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)[1:]


def spoil(rows: list[WrittenRow], known: Format) -> Iterator[tuple[str, str]]:
    """Spoils each row in a way of its own, and gives what is wrong with it, and where."""
    answer = ANSWERS[known]
    values = (("", "empty_text"), (5, "wrong_type"))
    for (value, kind), row in zip(values, rows, strict=False):
        holder(row, answer.text)[answer.text[-1]] = value
        yield kind, path_of(answer.text)
    missing = answer.required or answer.text
    del holder(rows[2], missing)[missing[-1]]
    yield "missing_field", path_of(missing)
    rows[3].clear()
    other = GEMINI if known == OPENAI else OPENAI
    rows[3].update(write(read_rows("clinc150")[0], other))
    yield "other_format", ""
    if answer.author:
        holder(rows[4], answer.author)[answer.author[-1]] = "robot"
        yield answer.stranger, path_of(answer.author)


@pytest.mark.parametrize("known", FORMATS, ids=title)
def test_broken_rows_are_refused_together_with_their_lines(
    known: Format, model: Path, tmp_path: Path
) -> None:
    rows = intents(known)
    expected = [
        (line, kind, path)
        for line, (kind, path) in enumerate(
            spoil(rows[FIRST_BROKEN_LINE - 1 :], known), FIRST_BROKEN_LINE
        )
    ]
    uri = write_file(rows, tmp_path / "rows")
    summary = validate_dataset(request(uri, model)).summary
    errors = [each for each in summary.findings if each.severity == "error"]
    assert not summary.valid
    assert summary.training.good_examples + len(expected) == summary.training.examples
    found = sorted((each.line, each.kind, each.path) for each in errors)
    assert found == expected
    with pytest.raises(UserError) as refused:
        preprocess_dataset(Source(uri, str(model)), load_tokenizer(model), tmp_path / "records")
    shown = {f"{each.where}: {each.message}" for each in errors}
    assert set(map(str, refused.value.problems)) == shown
