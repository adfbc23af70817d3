"""A prompt has the tokens that it has by itself, whatever stood before it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from kfp_llm_tuning.components.data.artifacts import read_records
from kfp_llm_tuning.components.data.rendering.examples import RowExample, RowRenderer
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.prompt_encoder import PromptEncoder
from kfp_llm_tuning.components.data.rendering.prompts import Example
from kfp_llm_tuning.components.data.rendering.text_encoder import TextEncoder
from kfp_llm_tuning.components.data.rows import ChatRow, Message
from kfp_llm_tuning.components.dataset.preprocess import Source, preprocess_dataset
from kfp_llm_tuning.components.models import byte_tiny
from tests.components.chat_tokenizers import TEMPLATES
from tests.components.tool_tokenizers import STYLES, build_tool_tokenizer


def prompts_of(tokenizer: Any, rows: list[list[str]]) -> tuple[PromptEncoder, list[str]]:
    """An encoder, and the prompts of conversations in which user and assistant take turns."""
    formatter = prompt_formatter(tokenizer)
    written: list[RowExample[int]] = []
    renderer = RowRenderer(formatter, "", written.append)
    for number, texts in enumerate(rows):
        authors = ["user", "assistant"] * len(texts)
        said = [Message(author, text) for author, text in zip(authors, texts, strict=False)]  # type: ignore[arg-type]
        renderer.add(number, ChatRow(said))
    renderer.finish()
    examples = [one.example for one in written if isinstance(one.example, Example)]
    prompts = [example.prompt for example in examples]
    return PromptEncoder(TextEncoder(tokenizer), formatter.anchor), prompts


def by_themselves(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return [TextEncoder(tokenizer).encode([text])[0] for text in texts]


spoken = st.lists(
    st.sampled_from(["the weather", " ", "\n", "x", "Ωμ", "<", "</s>", "<|im_end|>", "[INST]"]),
    min_size=1,
).map(lambda parts: "".join(["a", *parts]))


@pytest.mark.parametrize("name", [*TEMPLATES, "plain"])
@given(rows=st.lists(st.lists(spoken, min_size=2, max_size=8), min_size=1, max_size=3))
@settings(max_examples=5)
def test_prompts_have_the_tokens_that_each_has_by_itself(
    name: str, rows: list[list[str]], chat_tokenizers: dict[str, Any]
) -> None:
    tokenizer = {**chat_tokenizers, "plain": byte_tiny.build_tokenizer()}[name]
    encoder, prompts = prompts_of(tokenizer, rows)
    assert encoder.encode(prompts) == by_themselves(tokenizer, prompts)
    # Nor does their order matter.
    prompts.reverse()
    assert encoder.encode(prompts) == by_themselves(tokenizer, prompts)


@pytest.mark.parametrize("style", STYLES)
def test_prompts_in_the_styles_that_know_tools(style: str) -> None:
    tokenizer = build_tool_tokenizer(style)
    encoder, prompts = prompts_of(tokenizer, [["hello", " hi \n", "\nwhat", "\n\nthat", "a", "b"]])
    assert len(prompts) == 3
    assert encoder.encode(prompts) == by_themselves(tokenizer, prompts)


@pytest.mark.parametrize("name", ["chatml", "qwen", "llama-3", "gemma", "plain"])
def test_what_was_said_before_is_encoded_once(
    name: str, chat_tokenizers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = {**chat_tokenizers, "plain": byte_tiny.build_tokenizer()}[name]
    encoder, prompts = prompts_of(tokenizer, [[f"{number} said" for number in range(40)]])
    encoded: list[str] = []
    encode = TextEncoder.encode

    def noted(texts: TextEncoder, given: list[str]) -> list[list[int]]:
        encoded.extend(given)
        return encode(texts, given)

    monkeypatch.setattr(TextEncoder, "encode", noted)
    encoder.encode(prompts)
    assert len(prompts) == 20
    assert sum(map(len, encoded)) <= len(prompts[-1])


@pytest.mark.parametrize(
    ("token", "neighbour"),
    [
        (AddedToken("<turn>", normalized=False), AddedToken("x<turn", normalized=False)),
        (AddedToken("<turn>", normalized=False), AddedToken("<turn>as", single_word=True)),
        (AddedToken("<turn>", normalized=False, lstrip=True), AddedToken("<other>")),
        (AddedToken("<turn>", normalized=False, single_word=True), AddedToken("<other>")),
        (AddedToken("<turn>", normalized=True), AddedToken("<other>")),
    ],
)
def test_a_token_that_is_not_always_found_makes_no_seam(
    token: AddedToken, neighbour: AddedToken
) -> None:
    tokenizer = byte_tiny.build_tokenizer()
    tokenizer.split_special_tokens = False
    tokenizer.add_tokens([token])
    safe = AddedToken("<turn>", normalized=False)
    assert (TextEncoder(tokenizer).last_seam("a <turn>") is not None) == (token == safe)
    tokenizer.add_tokens([neighbour])
    assert TextEncoder(tokenizer).last_seam("a <turn>") is None
    assert TextEncoder(tokenizer).last_seam("nothing") is None


def test_special_tokens_that_are_split_make_no_seam(chat_tokenizers: dict[str, Any]) -> None:
    tokenizer = chat_tokenizers["chatml"]
    seam = TextEncoder(tokenizer).last_seam("a<|im_end|>\n<|im_start|>b")
    assert seam == (len("a<|im_end|>\n"), "<|im_start|>")
    tokenizer.split_special_tokens = True
    try:
        assert TextEncoder(tokenizer).last_seam("a<|im_end|>\n<|im_start|>b") is None
    finally:
        tokenizer.split_special_tokens = False


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TEMPLATES, "plain"])
def test_real_dialogues(
    name: str, chat_tokenizers: dict[str, Any], shared_data: Any, tmp_path: Any
) -> None:
    tokenizer = {**chat_tokenizers, "plain": byte_tiny.build_tokenizer()}[name]
    source = Source(str(shared_data / "sgd" / "train_full_dialogues.jsonl"), "byte-tiny")
    preprocess_dataset(source, tokenizer, tmp_path)
    prompts = [record.prompt for record in read_records(tmp_path)]
    encoder = PromptEncoder(TextEncoder(tokenizer), prompt_formatter(tokenizer).anchor)
    assert encoder.encode(prompts) == by_themselves(tokenizer, prompts)
