from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.prompts import Example
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization
from kfp_llm_tuning.components.data.rows import Message
from tests.components.data.rendering.asking import (
    chat_example,
    chat_prompt,
    text_example,
    text_prompt,
)

CONVERSATION = [
    Message("user", "What is the weather like in Paris?"),
    Message("assistant", "The weather is fine."),
    Message("user", "And\nin Rome?\n\n"),
    Message("assistant", "How may I help you\n\nwith Rome? Ωμέγα <b>"),
    Message("user", "thanks"),
    Message("assistant", "[INST] you are welcome"),
]


def as_roles(messages, context, system_role):
    roles = [{"role": message.author, "content": message.content} for message in messages]
    if not context:
        return roles
    if system_role:
        return [{"role": "system", "content": context}, *roles]
    first = {"role": "user", "content": f"{context}\n\n{messages[0].content}"}
    return [first, *roles[1:]]


@pytest.mark.parametrize("context", ["", "You are a weather assistant."])
def test_tokens_equal_those_of_the_tokenizers_own_template(chat_tokenizer, context, request):
    name = request.node.callspec.params["chat_tokenizer"]
    for end in (2, 4, 6):
        messages = CONVERSATION[:end]
        assert_tokens_of_template(chat_tokenizer, name, messages, context)
        formatter = prompt_formatter(chat_tokenizer)
        prompt, answer, _ = chat_example(formatter, messages, context)
        assert prompt == chat_prompt(formatter, messages[:-1], context)
        assert answer.lstrip() == messages[-1].content


@pytest.mark.parametrize("name", ["chatml", "qwen-thinking", "llama-3", "gemma", "mistral"])
@given(data=st.data())
@settings(max_examples=25)
def test_control_tokens_in_texts_are_tokenised_as_text(chat_tokenizers, name, data):
    """As transformers does it where it is asked to."""
    tokenizer = chat_tokenizers[name]
    tags = [token.content for token in tokenizer.added_tokens_decoder.values()]
    words = st.sampled_from([*tags, "the weather", " ", "x", "\n"])
    text = st.lists(words, min_size=1).map(lambda parts: "a" + "".join(parts) + "b")
    messages = [Message("user", data.draw(text)), Message("assistant", data.draw(text))]
    if name == "qwen-thinking":
        # transformers takes a tag that an answer only mentions for the model's own.
        messages[1] = Message("assistant", messages[1].content.replace("think>", ""))
    assert_tokens_of_template(tokenizer, name, messages, data.draw(text))


def assert_tokens_of_template(tokenizer, name, messages, context):
    formatter = prompt_formatter(tokenizer)
    tokenization = Tokenization(tokenizer, formatter, 10_000, 10_000)
    prompt, answer, _ = chat_example(formatter, messages, context)
    (prompt_tokens,) = tokenization.prompts([prompt], [None])
    (answer_tokens,) = tokenization.completions([answer])
    system_role = not name.startswith(("gemma", "mistral", "endless"))
    expected = tokenizer.apply_chat_template(
        as_roles(messages, context, system_role),
        tokenize=True,
        return_dict=False,
        sanitize_control_tokens=True,
    )
    tokens = prompt_tokens.ids + answer_tokens.ids
    if name == "endless":
        assert tokens.pop() == tokenizer.eos_token_id
    assert tokens == expected[: len(tokens)]
    # What stands behind the end in the template is not learned.
    assert tokenizer.decode(expected[len(tokens) :]) in ("", "\n")


def test_the_prompt_asks_for_the_answer(chat_tokenizer):
    """What the template writes before an answer stands in the prompt, not in the answer."""
    _, answer, _ = chat_example(prompt_formatter(chat_tokenizer), CONVERSATION[:2])
    assert answer.lstrip() == "The weather is fine."


def test_text_is_one_user_turn(chat_tokenizer):
    formatter = prompt_formatter(chat_tokenizer)
    example = text_example(formatter, "What is the weather?", "fine")
    messages = [Message("user", "What is the weather?"), Message("assistant", "fine")]
    assert example == chat_example(formatter, messages)
    assert example[0] == text_prompt(formatter, "What is the weather?")


def test_anchor_ends_every_prompt(chat_tokenizer):
    formatter = prompt_formatter(chat_tokenizer)
    assert formatter.anchor
    assert text_prompt(formatter, "x").endswith(formatter.anchor)
    assert chat_prompt(formatter, CONVERSATION[:3], "context").endswith(formatter.anchor)


@pytest.mark.parametrize("context", ["", "Speak of Paris only."])
def test_head_covers_the_context_and_no_message(chat_tokenizer, context):
    formatter = prompt_formatter(chat_tokenizer)
    prompt = chat_prompt(formatter, CONVERSATION[:3], context)
    head = formatter.head_length(context)
    assert context in prompt[:head]
    assert prompt[head:].startswith(CONVERSATION[0].content)


def test_a_template_writes_the_same_date_on_every_day(chat_tokenizers, monkeypatch):
    tokenizer = chat_tokenizers["chatml"]
    dated = "{{ strftime_now('%d %B %Y') }}|{{ date_string }}|" + tokenizer.chat_template
    monkeypatch.setattr(tokenizer, "chat_template", dated)
    prompt = text_prompt(prompt_formatter(tokenizer), "hello")
    assert prompt.startswith("26 July 2024|26 Jul 2024|<|im_start|>user")
    assert str(datetime.now().year) not in prompt


def test_template_without_answers_is_refused(chat_tokenizers, monkeypatch):
    tokenizer = chat_tokenizers["chatml"]
    monkeypatch.setattr(tokenizer, "chat_template", "{{ messages[0]['content'] }}")
    with pytest.raises(UserError, match="does not write the assistant's messages"):
        prompt_formatter(tokenizer)


def test_template_that_rewrites_the_history_is_refused(chat_tokenizers, monkeypatch):
    tokenizer = chat_tokenizers["chatml"]
    template = "{{ messages | length }}" + tokenizer.chat_template
    monkeypatch.setattr(tokenizer, "chat_template", template)
    with pytest.raises(UserError, match="it writes an answer that does not continue the prompt"):
        prompt_formatter(tokenizer)


def test_template_that_raises_is_a_user_error(chat_tokenizers, monkeypatch):
    tokenizer = chat_tokenizers["chatml"]
    monkeypatch.setattr(tokenizer, "chat_template", "{{ raise_exception('images only') }}")
    with pytest.raises(UserError, match="images only"):
        prompt_formatter(tokenizer)


def test_plain_text(byte_tokenizer):
    formatter = prompt_formatter(byte_tokenizer)
    assert formatter.prompt_format == "plain"
    assert text_example(formatter, "2 + 2 =", "4") == Example("2 + 2 =\n", "4")


def test_plain_chat(byte_tokenizer):
    formatter = prompt_formatter(byte_tokenizer)
    messages = [Message("user", "hi"), Message("assistant", "hello"), Message("user", "bye")]
    assert chat_prompt(formatter, messages, "Be kind.") == (
        "Be kind.\n\nuser:\nhi\nassistant:\nhello\nuser:\nbye\nassistant:\n"
    )
    assert chat_prompt(formatter, messages[:1]) == "user:\nhi\nassistant:\n"
    assert chat_example(formatter, messages[:2])[1] == "hello"
    assert formatter.head_length("Be kind.") == len("Be kind.\n\n")
    assert formatter.head_length("") == 0


def test_a_models_own_format_wins_over_the_tokenizers(chat_tokenizers, byte_tokenizer):
    assert text_prompt(prompt_formatter(chat_tokenizers["qwen"], "plain"), "x") == "x\n"
    with pytest.raises(UserError, match="has none"):
        prompt_formatter(byte_tokenizer, "chat_template")
