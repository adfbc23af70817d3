"""Answers that begin with reasoning, written by a template in the style of Qwen 3."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.data.rendering.control_tokens import has_marks, without_marks
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.prompts import Example
from kfp_llm_tuning.components.data.rendering.reasoning import has_reasoning, split_reasoning
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization
from kfp_llm_tuning.components.data.rows import Message
from tests.components.data.rendering.asking import chat_prompt, text_example

ASKED = "<|im_start|>user\nWhich team?<|im_end|>\n<|im_start|>assistant\n"
EMPTY = "<think>\n\n</think>\n\n"


@pytest.fixture
def qwen(chat_tokenizers: dict[str, Any]) -> Any:
    return chat_tokenizers["qwen-thinking"]


def test_reasoning_is_trained(qwen: Any) -> None:
    """Prompt and answer are, token by token, what the template itself writes."""
    formatter = prompt_formatter(qwen, "chat_template_reasoning")
    answer = "<think>\nIt is about money.\n</think>\n\nbilling"
    assert text_example(formatter, "Which team?", answer) == Example(ASKED, answer)
    tokenization = Tokenization(qwen, formatter, 1000, 1000)
    (prompt,) = tokenization.prompts([ASKED], [None])
    (completion,) = tokenization.completions([answer])
    roles = [
        {"role": "user", "content": "Which team?"},
        {"role": "assistant", "content": answer},
    ]
    written = qwen.apply_chat_template(roles, tokenize=True, return_dict=False)
    tokens = prompt.ids + completion.ids
    assert tokens == written[: len(tokens)]
    assert set(qwen.convert_tokens_to_ids(["<think>", "</think>"])) < set(completion.ids)


def test_an_answer_without_reasoning_among_others_writes_the_empty_block(qwen: Any) -> None:
    formatter = prompt_formatter(qwen, "chat_template_reasoning")
    assert text_example(formatter, "Which team?", "billing") == Example(ASKED, f"{EMPTY}billing")


def test_without_reasoning_the_empty_block_is_part_of_the_prompt(qwen: Any) -> None:
    formatter = prompt_formatter(qwen)
    assert text_example(formatter, "Which team?", "billing") == Example(ASKED + EMPTY, "billing")


@pytest.mark.parametrize("prompt_format", ["chat_template", "chat_template_reasoning"])
@pytest.mark.parametrize("mention", ["Close with </think> and go on.", "a <think> b </think> c"])
def test_a_tag_that_is_only_mentioned_is_text(qwen: Any, prompt_format: Any, mention: str) -> None:
    formatter = prompt_formatter(qwen, prompt_format)
    prompt, answer, _ = text_example(formatter, mention, mention)
    assert has_marks(prompt)
    assert without_marks(prompt).startswith(f"<|im_start|>user\n{mention}<|im_end|>")
    assert without_marks(answer).removeprefix(EMPTY) == mention
    (tokens,) = Tokenization(qwen, formatter, 1000, 1000).completions([answer])
    assert qwen.decode(tokens.ids).removeprefix(EMPTY) == f"{mention}<|im_end|>"


def test_the_history_is_what_the_template_leaves_of_it(qwen: Any) -> None:
    formatter = prompt_formatter(qwen, "chat_template_reasoning")
    history = [
        Message("user", "Which team?"),
        Message("assistant", "<think>\nmoney\n</think>\n\nbilling"),
        Message("user", "And now?"),
    ]
    assert "money" not in chat_prompt(formatter, history)
    assert "billing" in chat_prompt(formatter, history)


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "\n"])).map("".join))
def test_an_answer_is_its_parts(answer: str) -> None:
    if has_reasoning(answer):
        opening, _, closing, _ = parts = split_reasoning(answer)
        assert "".join(parts) == answer
        assert (opening.strip(), closing) == ("<think>", "</think>")
