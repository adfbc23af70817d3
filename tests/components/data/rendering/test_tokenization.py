from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization, tokenizer_hash
from kfp_llm_tuning.components.data.rows import Message
from kfp_llm_tuning.components.models import byte_tiny
from tests.components.data.rendering.asking import chat_prompt, text_example, text_prompt

BYTE_TOKENIZER = byte_tiny.build_tokenizer()
BOS, EOS = BYTE_TOKENIZER.bos_token_id, BYTE_TOKENIZER.eos_token_id


def tokenization_for(tokenizer, max_input_tokens=10_000, max_output_tokens=10_000):
    return Tokenization(tokenizer, prompt_formatter(tokenizer), max_input_tokens, max_output_tokens)


def decode(ids):
    return BYTE_TOKENIZER.decode(ids, clean_up_tokenization_spaces=False)


@given(st.text(), st.text())
def test_any_text_comes_back_from_its_tokens(prompt, completion):
    tokenization = tokenization_for(BYTE_TOKENIZER)
    (prompt_tokens,) = tokenization.prompts([prompt], [None])
    (completion_tokens,) = tokenization.completions([completion])
    assert prompt_tokens.ids[0] == BOS
    assert decode(prompt_tokens.ids[1:]) == prompt
    assert completion_tokens.ids[-1] == EOS
    assert decode(completion_tokens.ids[:-1]) == completion
    assert not prompt_tokens.truncated
    assert not completion_tokens.truncated


@given(st.text(), st.text(max_size=30), st.integers(1, 40), st.booleans())
def test_no_prompt_is_longer_than_its_limit(text, context, limit, is_chat):
    formatter = prompt_formatter(BYTE_TOKENIZER)
    prompt, head = text_prompt(formatter, text), None
    if is_chat:
        prompt = chat_prompt(formatter, [Message("user", text)], context)
        head = formatter.head_length(context)
    (tokens,) = tokenization_for(BYTE_TOKENIZER, limit).prompts([prompt], [head])
    length = len(prompt.encode()) + 1
    assert len(tokens.ids) == min(length, limit)
    assert tokens.truncated == (length > limit)


def test_long_text_keeps_its_beginning_and_the_separator():
    tokenization = tokenization_for(BYTE_TOKENIZER, max_input_tokens=6)
    (tokens,) = tokenization.prompts(["abcdefgh\n"], [None])
    assert tokens.truncated
    assert decode(tokens.ids) == "<bos>abcd\n"


def test_long_text_in_a_template_keeps_the_opening_of_the_answer(chat_tokenizers):
    tokenizer = chat_tokenizers["llama-3"]
    formatter = prompt_formatter(tokenizer)
    prompt = text_prompt(formatter, "the weather " * 50)
    (tokens,) = tokenization_for(tokenizer, max_input_tokens=20).prompts([prompt], [None])
    text = tokenizer.decode(tokens.ids)
    assert len(tokens.ids) == 20
    assert text.startswith("<s><|start_header_id|>user<|end_header_id|>\n\nthe weather")
    assert text.endswith("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")


def test_long_conversation_keeps_its_context_and_the_most_recent_words():
    prompt = "Context.\n\nuser:\nold old old\nassistant:\nolder\nuser:\nnew\nassistant:\n"
    head = len("Context.\n\n")
    recent = "\nuser:\nnew\nassistant:\n"
    limit = 1 + head + len(recent)
    (tokens,) = tokenization_for(BYTE_TOKENIZER, limit).prompts([prompt], [head])
    assert tokens.truncated
    assert decode(tokens.ids) == "<bos>Context.\n\n" + recent


def test_overlong_context_leaves_half_of_the_room_to_the_messages():
    prompt = "C" * 100 + "\n\nuser:\nnew\nassistant:\n"
    (tokens,) = tokenization_for(BYTE_TOKENIZER, 20).prompts([prompt], [102])
    assert decode(tokens.ids) == "<bos>" + "C" * 9 + "assistant:\n"[-10:]


def test_cut_completion_has_no_end():
    tokenization = tokenization_for(BYTE_TOKENIZER, max_output_tokens=3)
    whole, cut = tokenization.completions(["abc", "abcd"])
    assert (decode(whole.ids), whole.truncated) == ("abc<eos>", False)
    assert (decode(cut.ids), cut.truncated) == ("abc", True)


def test_limit_of_a_completion_does_not_count_the_templates_end(chat_tokenizers):
    tokenizer = chat_tokenizers["qwen"]
    formatter = prompt_formatter(tokenizer)
    _, completion, _ = text_example(formatter, "x", "weather")
    words = len(tokenizer("weather", add_special_tokens=False)["input_ids"])
    (whole,) = tokenization_for(tokenizer, max_output_tokens=words).completions([completion])
    (cut,) = tokenization_for(tokenizer, max_output_tokens=words - 1).completions([completion])
    assert not whole.truncated
    assert tokenizer.decode(whole.ids) == "weather<|im_end|>"
    assert cut.truncated
    assert len(cut.ids) == words - 1


def test_completion_that_joins_with_the_anchor_is_tokenised_alone(chat_tokenizers):
    """The prompt ends with a newline; two newlines are one token of this tokenizer."""
    tokenizer = chat_tokenizers["chatml"]
    newline, two_newlines = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("\n", "\n\n")
    )
    assert len(two_newlines) == 1
    tokens, other = tokenization_for(tokenizer).completions(["\nweather", "weather"])
    assert tokens.ids[:1] == newline
    assert tokenizer.decode(tokens.ids) == "\nweather<|im_end|>"
    assert tokenizer.decode(other.ids) == "weather<|im_end|>"


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        ("qwen", ["<|im_end|>"]),
        ("llama-3", ["<|eot_id|>", "<|end_of_text|>"]),
        ("gemma", ["<end_of_turn>", "<eos>"]),
        ("mistral", ["</s>"]),
        ("endless", ["</s>"]),
    ],
)
def test_stop_tokens_are_those_that_end_an_answer(chat_tokenizers, name, stops):
    tokenizer = chat_tokenizers[name]
    expected = sorted(tokenizer.convert_tokens_to_ids(stops))
    assert tokenization_for(tokenizer).stop_token_ids == expected


def test_tokenizer_without_end_token_is_refused(monkeypatch):
    tokenizer = byte_tiny.build_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="no end-of-sequence token"):
        tokenization_for(tokenizer)


def test_tokenizer_that_appends_its_end_does_not_end_the_prompt():
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tiny.build_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", BOS), ("<eos>", EOS)]
    )
    assert tokenizer("a")["input_ids"][-1] == EOS
    (tokens,) = tokenization_for(tokenizer).prompts(["abc"], [None])
    assert decode(tokens.ids) == "<bos>abc"


def test_hash_of_a_tokenizer_tells_what_decides_tokens(chat_tokenizers, monkeypatch):
    tokenizer = byte_tiny.build_tokenizer()
    before = tokenizer_hash(tokenizer)
    tokenizer(["a", "bb"], padding=True, truncation=True, max_length=1)
    assert tokenizer_hash(tokenizer) == before == tokenizer_hash(byte_tiny.build_tokenizer())
    tokenizer.chat_template = "{{ messages }}"
    assert tokenizer_hash(tokenizer) != before
    assert tokenizer_hash(chat_tokenizers["qwen"]) != tokenizer_hash(chat_tokenizers["chatml"])
