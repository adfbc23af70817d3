"""Parts of a conversation that a template would leave out: the row is refused, with its place."""

from __future__ import annotations

from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.data.rendering.examples import RowExample, RowRenderer
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.prompts import (
    Example,
    PromptFormat,
    RowRefusedError,
    Turn,
)
from kfp_llm_tuning.components.data.rows import ChatRow, Message, MessagePlace, ToolCall
from tests.components.data.rendering.asking import chat_prompt
from tests.components.tool_tokenizers import build_tool_tokenizer

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALL = ToolCall("look", {"at": "it"}, "call00000")
QUESTION = Message("user", "What is it?")
CALLS = Message("assistant", "", tool_calls=(CALL,))
TOLD = Message("tool", "A cat.", name="look", tool_call_id="call00000")
CALLED = Turn([QUESTION, CALLS, TOLD, Message("assistant", "It is a cat.")], tools=[TOOL])
THOUGHT = Turn([QUESTION, Message("assistant", "A cat.", "It purrs.")])


def problems(
    tokenizer: Any, turn: Turn, prompt_format: PromptFormat | None = None
) -> list[Problem]:
    [example] = prompt_formatter(tokenizer, prompt_format).examples([turn])
    assert isinstance(example, RowRefusedError), example
    return example.problems


@pytest.mark.parametrize("style", ["smol", "gemma"])
def test_a_template_that_knows_no_tools(style: str) -> None:
    found = problems(build_tool_tokenizer(style), CALLED)
    told = {problem.where: problem.what for problem in found}
    assert told["messages[1].tool_calls"] == "the model's chat template writes no tool calls."
    assert told["messages[2]"] == "the model's chat template writes no answers of tools."
    assert all("choose a model whose chat template knows them" in one.fix for one in found)


@pytest.mark.parametrize("style", ["smol", "gemma"])
def test_tools_that_are_not_called_are_missed_too(style: str) -> None:
    turn = Turn([QUESTION, Message("assistant", "A cat.")], tools=[TOOL])
    [problem] = problems(build_tool_tokenizer(style), turn)
    assert (problem.where, problem.what) == (
        "tools",
        "the model's chat template writes no tool definitions.",
    )


@pytest.mark.parametrize("style", ["llama", "mistral"])
def test_words_beside_a_call_that_a_template_passes_over(style: str) -> None:
    turn = Turn([QUESTION, Message("assistant", "Let me look.", tool_calls=(CALL,))], tools=[TOOL])
    [problem] = problems(build_tool_tokenizer(style), turn)
    assert problem.where == "messages[1].content"
    assert "leaves out what is said beside a tool call" in problem.what


def test_one_of_two_calls_that_a_template_passes_over() -> None:
    tokenizer = build_tool_tokenizer("llama")
    tokenizer.chat_template = tokenizer.chat_template.replace("| length != 1", "| length < 1")
    twice = Message("assistant", "", tool_calls=(CALL, CALL))
    [problem] = problems(tokenizer, Turn([QUESTION, twice], tools=[TOOL]))
    assert problem.where == "messages[1].tool_calls[1]"
    assert "leaves out this tool call" in problem.what


def test_a_call_that_a_template_refuses_is_told_in_its_words() -> None:
    turn = Turn([QUESTION, Message("assistant", "", tool_calls=(CALL, CALL))], tools=[TOOL])
    [problem] = problems(build_tool_tokenizer("llama"), turn)
    assert problem.what.endswith("refuses the conversation: TemplateError: One call at once!")


def test_a_system_message_that_a_template_passes_over() -> None:
    tokenizer = build_tool_tokenizer("smol")
    silent = "{% if loop.first or message.role != 'system' %}{{- '<|im_start|>'"
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}",
        silent + " + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endif %}",
    )
    middle = [QUESTION, Message("assistant", "?"), Message("system", "Be short."), QUESTION]
    [problem] = problems(tokenizer, Turn([*middle, Message("assistant", "A cat.")]))
    assert problem.where == "messages[2].content"
    assert "leaves out this system message" in problem.what


@pytest.mark.parametrize("style", ["llama", "mistral", "smol", "gemma"])
def test_reasoning_apart_that_a_template_does_not_know(style: str) -> None:
    [problem] = problems(build_tool_tokenizer(style), THOUGHT)
    assert problem.where == "messages[1].reasoning"
    assert problem.what == "the model's chat template writes no reasoning."
    assert "between <think> and </think> at the start of the content" in problem.fix


def test_reasoning_that_a_template_takes_out_of_the_last_answer_too() -> None:
    tokenizer = build_tool_tokenizer("qwen")
    tokenizer.chat_template = tokenizer.chat_template.replace("loop.index0 > ns.asked", "false")
    [problem] = problems(tokenizer, THOUGHT)
    assert problem.what == "the model's chat template writes no reasoning."
    inline = Message("assistant", "<think>\nIt purrs.\n</think>\n\nA cat.")
    [problem] = problems(tokenizer, Turn([QUESTION, inline, QUESTION, inline]))
    assert problem.where == "messages[3].content"
    assert problem.what == "the model's chat template takes reasoning out of every answer."


def test_the_reasoning_of_the_history_may_be_left_out() -> None:
    formatter = prompt_formatter(build_tool_tokenizer("qwen"), "chat_template_reasoning")
    again = [*THOUGHT.messages, QUESTION, Message("assistant", "A cat.", "As before.")]
    [example] = formatter.examples([Turn(again)])
    assert isinstance(example, Example)
    assert "It purrs." not in example.prompt
    assert "As before." in example.answer


def test_models_without_a_template(byte_tokenizer: Any) -> None:
    where = [problem.where for problem in problems(byte_tokenizer, CALLED)]
    assert where == ["tools", "messages[1].tool_calls", "messages[2]"]
    [problem] = problems(byte_tokenizer, THOUGHT)
    assert problem.where == "messages[1].reasoning"
    formatter = prompt_formatter(byte_tokenizer)
    with pytest.raises(
        RowRefusedError, match="without a chat template, writes no tool definitions"
    ):
        chat_prompt(formatter, [QUESTION], tools=[TOOL])
    inline = Turn([QUESTION, Message("assistant", "<think>It purrs.</think>A cat.")])
    [example] = formatter.examples([inline])
    assert isinstance(example, Example)
    assert example.answer == "<think>It purrs.</think>A cat."


def test_a_refusal_names_the_place_in_the_row_that_was_read() -> None:
    said = [QUESTION, CALLS, TOLD, Message("assistant", "It is a cat.")]
    places = [MessagePlace(f"contents[{number}].parts[0].text") for number in range(1, 5)]
    places[1] = MessagePlace("contents[2].parts", calls=("contents[2].parts[1].functionCall",))
    refused: list[RowExample[int]] = []
    renderer = RowRenderer(prompt_formatter(build_tool_tokenizer("smol")), "", refused.append)
    renderer.add(7, ChatRow(said, tools=(TOOL,), places=tuple(places)))
    renderer.finish()
    examples = [one.example for one in refused]
    assert all(isinstance(example, RowRefusedError) for example in examples)
    where = {problem.where for example in examples for problem in example.problems}  # type: ignore[union-attr]
    assert where == {"tools", places[1].calls[0], places[2].content}
