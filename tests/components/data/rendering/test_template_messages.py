"""What chat templates are given, and that they are given it as they take it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kfp_llm_tuning.components.data.rendering.control_tokens import (
    ControlTokenMask,
    ControlTokens,
    has_marks,
    without_marks,
)
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.prompts import Example, RowRefusedError, Turn
from kfp_llm_tuning.components.data.rendering.template_messages import (
    TemplateDialect,
    TemplateMessages,
)
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization
from kfp_llm_tuning.components.data.rows import Message, ToolCall
from kfp_llm_tuning.components.generation.decoded_text import decode
from tests.components.data.rendering.asking import chat_example, chat_prompt, text_example
from tests.components.tool_tokenizers import build_tool_tokenizer

QUESTION = Message("user", "What is it?")
SPELLED = "a<|im_end|>b"


@pytest.fixture(scope="module")
def qwen() -> Any:
    return build_tool_tokenizer("qwen")


def written(tokenizer: Any, dialect: TemplateDialect, turn: Turn) -> list[dict[str, Any]]:
    mask = ControlTokenMask(ControlTokens(tokenizer))
    return TemplateMessages(dialect, mask, turn).messages(turn)


def test_a_conversation_as_transformers_takes_it(qwen: Any) -> None:
    calls = (ToolCall("look", {"at": {"x": [1, None]}}, "id1"), ToolCall("wait", {}))
    turn = Turn(
        [
            QUESTION,
            Message("assistant", "", "Look.", calls),
            Message("tool", "A cat.", name="look", tool_call_id="id1"),
        ],
        "Be kind.",
    )
    assert written(qwen, TemplateDialect(reasoning_field=True), turn) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "What is it?"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "Look.",
            "tool_calls": [
                {
                    "type": "function",
                    "id": "id1",
                    "function": {"name": "look", "arguments": {"at": {"x": [1, None]}}},
                },
                {"type": "function", "function": {"name": "wait", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "A cat.", "name": "look", "tool_call_id": "id1"},
    ]


@pytest.mark.parametrize("message", ["apart", "inline"])
def test_reasoning_as_a_template_takes_it(qwen: Any, message: str) -> None:
    """One thing within, whichever way the data has it."""
    inline = "<think>\nLook.\n</think>\n\nA cat."
    said = (
        Message("assistant", inline)
        if message == "inline"
        else Message("assistant", "A cat.", "Look.")
    )
    [field] = written(qwen, TemplateDialect(reasoning_field=True), Turn([said]))
    assert field == {"role": "assistant", "content": "A cat.", "reasoning_content": "Look."}
    [content] = written(qwen, TemplateDialect(reasoning_in_content=True), Turn([said]))
    assert content == {"role": "assistant", "content": inline}


def test_calls_as_templates_that_concatenate_texts_take_them(qwen: Any) -> None:
    tokenizer = build_tool_tokenizer("smol")
    # As DeepSeek V3: calls stand where there is no content, and arguments are a text.
    tokenizer.chat_template = (
        "{%- for m in messages %}{%- if m.content is none %}{{- '<|im_start|>' + m.role }}"
        "{{- m.tool_calls[0].function.name + m.tool_calls[0].function.arguments + '<|im_end|>' }}"
        "{%- else %}{{- '<|im_start|>' + m.role + m.content + '<|im_end|>' }}{%- endif %}"
        "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant' }}{%- endif %}"
    )
    call = Message("assistant", "", tool_calls=(ToolCall("look", {"at": "Ω"}),))
    [example] = prompt_formatter(tokenizer).examples([Turn([QUESTION, call])])
    assert isinstance(example, Example)
    assert example.answer == 'look{"at": "Ω"}'


def test_control_tokens_in_tools_calls_answers_and_reasoning_are_text(qwen: Any) -> None:
    tool = {"type": "function", "function": {"name": "look", "description": SPELLED}}
    call = ToolCall("look", {SPELLED: [SPELLED]}, "id1")
    history = [QUESTION, Message("assistant", "", SPELLED, (call,)), Message("tool", SPELLED)]
    formatter = prompt_formatter(qwen, "chat_template_reasoning")
    turn = Turn([*history, Message("assistant", "ok", SPELLED)], tools=[tool])
    [example] = formatter.examples([turn])
    assert isinstance(example, Example)
    assert has_marks(example.prompt) and has_marks(example.answer)
    assert without_marks(example.prompt).count(SPELLED) == 5
    tokenization = Tokenization(qwen, formatter, 10_000, 10_000)
    [prompt] = tokenization.prompts([example.prompt], [None])
    [completion] = tokenization.completions([example.answer])
    # The ends of the system message, the question, the call and the tool's answer; of the answer.
    assert prompt.ids.count(tokenization.end_id) == 4
    assert completion.ids.count(tokenization.end_id) == 1
    expected = qwen.apply_chat_template(
        [
            {"role": "user", "content": QUESTION.content},
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": SPELLED,
                "tool_calls": [
                    {
                        "type": "function",
                        "function": {"name": "look", "arguments": {"x": [SPELLED]}},
                    }
                ],
            },
            {"role": "tool", "content": SPELLED},
            {"role": "assistant", "content": "ok", "reasoning_content": SPELLED},
        ],
        tools=[tool],
        tokenize=True,
        return_dict=False,
        sanitize_control_tokens=True,
    )
    # transformers leaves the names of arguments as they are.
    [named] = formatter.examples(
        [turn._replace(messages=[_named(message) for message in turn.messages])]
    )
    assert isinstance(named, Example)
    [prompt] = tokenization.prompts([named.prompt], [None])
    [completion] = tokenization.completions([named.answer])
    tokens = prompt.ids + completion.ids
    assert tokens == expected[: len(tokens)]
    assert formatter.spelled_tokens(history[1]) == ["<|im_end|>"]


def _named(message: Message) -> Message:
    calls = tuple(ToolCall(call.name, {"x": [SPELLED]}, call.id) for call in message.tool_calls)
    return Message(message.author, message.content, message.reasoning, calls)


def test_a_tool_of_too_many_levels_is_refused(qwen: Any) -> None:
    nested: Any = "deep"
    for _ in range(80):
        nested = [nested]
    turn = Turn([QUESTION, Message("assistant", "ok")], tools=[{"function": nested}])
    [example] = prompt_formatter(qwen).examples([turn])
    assert isinstance(example, RowRefusedError)
    assert "stand more than 64 deep" in str(example)


def test_a_context_joins_the_first_question_where_there_are_no_system_messages() -> None:
    formatter = prompt_formatter(build_tool_tokenizer("gemma"))
    example = chat_example(formatter, [QUESTION, Message("assistant", "A cat.")], "Be kind.")
    assert "user\nBe kind.\n\nWhat is it?<end_of_turn>" in example.prompt


def test_calls_may_end_with_another_token_than_answers() -> None:
    tokenizer = build_tool_tokenizer("llama-eom")
    formatter = prompt_formatter(tokenizer)
    tool = {"type": "function", "function": {"name": "look"}}
    call = Message("assistant", "", tool_calls=(ToolCall("look", {"at": "it"}),))
    answer = Message("assistant", "A cat.")
    examples = formatter.examples([Turn([QUESTION, said], tools=[tool]) for said in (call, answer)])
    written = [one for one in examples if isinstance(one, Example)]
    tokenization = Tokenization(tokenizer, formatter, 1000, 1000)
    ends = [
        tokenizer.convert_ids_to_tokens(tokens.ids[-1])
        for tokens in tokenization.completions(
            [one.answer for one in written], [one.end for one in written]
        )
    ]
    assert ends == ["<|eom_id|>", "<|eot_id|>"]
    stops = {"<|eom_id|>", "<|eot_id|>", "<|end_of_text|>"}
    assert set(tokenizer.convert_ids_to_tokens(tokenization.stop_token_ids)) == stops


@pytest.mark.parametrize(
    ("given", "written"), [("abcdEF012", "abcdEF012"), ("call_" + 20 * "x", ""), ("", "000000000")]
)
def test_ids_of_calls_as_a_template_takes_them(given: str, written: str) -> None:
    formatter = prompt_formatter(build_tool_tokenizer("mistral"))
    call = Message("assistant", "", tool_calls=(ToolCall("look", {}, given),))
    told = Message("tool", "A cat.", tool_call_id=given)
    example = chat_example(formatter, [QUESTION, call, told, Message("assistant", "A cat.")])
    ids = re.findall(r'"(?:id|call_id)": "(\w{9})"', example.prompt)
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert not written or ids[0] == written


def test_tokens_that_open_a_call_belong_to_the_answers_text() -> None:
    tokenizer = build_tool_tokenizer("mistral")
    formatter = prompt_formatter(tokenizer)
    call = Message("assistant", "", tool_calls=(ToolCall("look", {"at": "it"}, "call00000"),))
    [example] = formatter.examples([Turn([QUESTION, call])])
    assert isinstance(example, Example)
    tokenization = Tokenization(tokenizer, formatter, 1000, 1000)
    [tokens] = tokenization.completions([example.answer])
    assert decode(tokenizer, [tokens.ids], tokenization.inner_token_ids) == [example.answer]
    assert decode(tokenizer, [tokens.ids]) == [example.answer.removeprefix("[TOOL_CALLS]")]


def test_an_opening_that_no_answer_continues_belongs_to_no_prompt() -> None:
    tokenizer = build_tool_tokenizer("smol")
    opened = "{{- '<|im_start|>assistant\\n' }}"
    assert opened in tokenizer.chat_template
    # As DeepSeek R1's distilled models ask, whose template writes answers without reasoning.
    tokenizer.chat_template = tokenizer.chat_template.replace(
        opened, opened.replace("\\n", "\\n<think>\\n")
    )
    example = text_example(prompt_formatter(tokenizer), "What is it?", "A cat.")
    assert example.prompt.endswith("<|im_start|>assistant\n")
    assert example.answer == "A cat."


def test_tools_belong_to_the_head_that_long_conversations_keep() -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    messages = [QUESTION, Message("assistant", "?"), Message("user", "That!")]
    for style, is_in_head in (("llama", True), ("mistral", False)):
        formatter = prompt_formatter(build_tool_tokenizer(style))
        prompt = chat_prompt(formatter, messages, "Be kind.", [tool])
        head = formatter.head_length("Be kind.", [tool])
        assert prompt[head:].startswith(QUESTION.content)
        assert ('"look"' in prompt[:head]) == is_in_head
