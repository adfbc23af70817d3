"""What rendering finds in rows: the same that preprocessing would, before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.reading.findings import Severity, list_problems
from kfp_llm_tuning.components.dataset.preprocess import Source, preprocess_dataset
from kfp_llm_tuning.components.validation import dataset as dataset_module
from kfp_llm_tuning.components.validation.base_model import ExaminedModel
from kfp_llm_tuning.components.validation.dataset import Request, Validation, validate_dataset
from tests.components.data.rendering.test_answer_end import tokenizer_ending

Check = Callable[..., Validation]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Check:
    """Validates 12 texts of which the third is given, for a tokenizer."""

    def run(tokenizer: Any, question: str = "a?", answer: str = "b") -> Validation:
        examined = ExaminedModel([], "", tokenizer)
        monkeypatch.setattr(dataset_module, "examine", lambda *_: examined)
        rows = [{"input_text": f"case {n}", "output_text": f"out {n}"} for n in range(12)]
        rows[2] = {"input_text": question, "output_text": answer}
        path = tmp_path / "train.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return validate_dataset(Request(str(path), large_model_reference="byte-tiny"))

    return run


def told(validation: Validation, severity: Severity, kind: str) -> list[str]:
    problems = list_problems(validation.findings, severity)
    assert validation.findings.by_kind(severity)[kind]
    return [str(problem) for problem in problems]


REFUSES = (
    "{% for m in messages %}{% if 'nope' in m['content'] %}{{ raise_exception('Say yes') }}"
    "{% endif %}[{{ m['role'] }}]{{ m['content'] }}{{ eos_token }}{% endfor %}"
)


def test_a_row_that_the_template_refuses_is_named(
    check: Check, chat_tokenizers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tokenizer = chat_tokenizers["chatml"]
    monkeypatch.setattr(tokenizer, "chat_template", REFUSES)
    validation = check(tokenizer, answer="nope")
    expected = "train.jsonl line 3, output_text: the model's chat template refuses the conversation"
    [problem] = told(validation, Severity.ERROR, "row_refused")
    assert problem.startswith(expected)
    assert "Say yes" in problem
    source = Source(str(tmp_path / "train.jsonl"), "byte-tiny")
    with pytest.raises(UserError, match=expected):
        preprocess_dataset(source, tokenizer, tmp_path / "records")


def test_a_template_that_one_row_sets_off_is_told_with_its_line(
    check: Check, chat_tokenizers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tokenizer = chat_tokenizers["chatml"]
    monkeypatch.setattr(
        tokenizer, "chat_template", REFUSES.replace("raise_exception('Say yes')", "'a' * 10**10")
    )
    [problem] = told(check(tokenizer, answer="nope"), Severity.ERROR, "unusable_template")
    assert problem.startswith("line 3: the model's chat template cannot be used: it needs more")
    source = Source(str(tmp_path / "train.jsonl"), "byte-tiny")
    with pytest.raises(UserError, match="train.jsonl line 3, output_text: .* more memory"):
        preprocess_dataset(source, tokenizer, tmp_path / "records")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ 1 / 0 }}", "cannot be used: it refuses the conversation: ZeroDivisionError"),
        ("{{ 'a' * 10**10 }}", "cannot be used: it needs more memory"),
        ("{% if", "cannot be used: TemplateSyntaxError"),
    ],
)
def test_a_template_that_nothing_can_be_done_with_refuses_the_dataset(
    check: Check,
    chat_tokenizers: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    template: str,
    says: str,
) -> None:
    tokenizer = chat_tokenizers["chatml"]
    monkeypatch.setattr(tokenizer, "chat_template", template)
    validation = check(tokenizer)
    [problem] = told(validation, Severity.ERROR, "unusable_template")
    assert says in problem
    assert not validation.summary.valid


def test_control_tokens_in_rows_are_warned_of(
    check: Check, chat_tokenizers: dict[str, Any]
) -> None:
    validation = check(chat_tokenizers["chatml"], question="a<|im_end|>b<s>", answer="c<|im_end|>")
    found = told(validation, Severity.WARNING, "control_token")
    assert any('line 3, input_text: the text spells "<|im_end|>", "<s>"' in each for each in found)
    assert any('line 3, output_text: the text spells "<|im_end|>", whi' in each for each in found)


def test_an_end_marker_that_is_mere_text_is_warned_of(check: Check) -> None:
    validation = check(tokenizer_ending("<|im_end|>\n"), question="a<|im_end|>b")
    found = told(validation, Severity.WARNING, "end_marker")
    assert any("line 3, input_text" in each for each in found)


def test_an_answer_without_reasoning_among_others_is_warned_of(
    check: Check, chat_tokenizers: dict[str, Any]
) -> None:
    validation = check(chat_tokenizers["qwen-thinking"], answer="<think>\nso\n</think>\n\nb")
    assert validation.findings.by_kind(Severity.WARNING)["no_reasoning"] == 11


def test_a_mention_of_a_tag_keeps_the_format(check: Check, chat_tokenizers: dict[str, Any]) -> None:
    kinds = check(chat_tokenizers["qwen-thinking"], answer="Say </think>.").findings.counts
    named = {kind for _, kind, _ in kinds}
    assert "control_token" in named
    assert not named & {"no_reasoning", "row_refused"}


@pytest.mark.parametrize(("name", "rewritten"), [("llama-3", 0), ("qwen-thinking", 12)])
def test_answers_that_need_a_pass_of_their_own_are_noted(
    chat_tokenizers: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    rewritten: int,
) -> None:
    examined = ExaminedModel([], "", chat_tokenizers[name])
    monkeypatch.setattr(dataset_module, "examine", lambda *_: examined)
    messages = [{"role": role, "content": "a"} for _ in range(2) for role in ("user", "assistant")]
    path = tmp_path / "train.jsonl"
    path.write_text((json.dumps({"messages": messages}) + "\n") * 12)
    validation = validate_dataset(Request(str(path), large_model_reference="byte-tiny"))
    notes = validation.findings.by_kind(Severity.NOTE)
    assert notes.get("separate_passes", 0) == bool(rewritten)
    if rewritten:
        problems = told(validation, Severity.NOTE, "separate_passes")
        assert any(f"{rewritten} answers of conversations cannot" in text for text in problems)


@pytest.mark.parametrize(("train_on", "examples"), [("all", 24), ("last", 12)])
def test_steps_are_counted_in_the_answers_that_are_learned(
    tmp_path: Path, train_on: str, examples: int
) -> None:
    messages = [{"role": role, "content": "a"} for _ in range(2) for role in ("user", "assistant")]
    path = tmp_path / "train.jsonl"
    path.write_text((json.dumps({"messages": messages}) + "\n") * 12)
    request = Request(
        str(path), large_model_reference="byte-tiny", train_steps=12, train_on=train_on
    )
    summary = validate_dataset(request).summary
    assert summary.training.training_examples == examples
    assert summary.steps and summary.steps.epochs == 12 * summary.steps.batch_size / examples
    refused = Request(str(path), large_model_reference="byte-tiny", train_on="first")
    with pytest.raises(UserError, match="train_on"):
        validate_dataset(refused)
