"""Prompts are written as in training, and those the model cannot read are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from kfp_llm_tuning.components.data.rendering.prompts import RowRefusedError
from kfp_llm_tuning.components.data.rows import Message
from kfp_llm_tuning.components.generation.instances import Instance, text_instance
from kfp_llm_tuning.components.generation.tuned_model import TunedModel
from kfp_llm_tuning.components.serving.prompting import Prompt, PromptInput, write_prompts
from kfp_llm_tuning.components.serving.refusals import Refusal
from tests.components.generation.test_infilling import tokenizer_with
from tests.components.serving.scripted_engine import ScriptedEngine, scripted_model

GAP = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|endoftext|>"]


@pytest.fixture
def model(tmp_path: Path) -> TunedModel:
    return scripted_model(tmp_path, max_input_tokens=32)


@pytest.fixture
def infilling_model(tmp_path: Path) -> TunedModel:
    """A model whose vocabulary has the tokens for a gap."""
    engine = ScriptedEngine()
    engine.tokenizer = tokenizer_with([*GAP, "<|im_end|>"])
    return scripted_model(tmp_path, engine)


def text(words: str, where: str = "x", suffix: str = "") -> PromptInput:
    return PromptInput(where, text_instance(words), suffix)


def written(model: TunedModel, *asked: PromptInput) -> list[Prompt]:
    return asyncio.run(write_prompts(model, asked))


def refused(model: TunedModel, *asked: PromptInput) -> Refusal:
    with pytest.raises(Refusal) as caught:
        written(model, *asked)
    assert caught.value.status == 400
    return caught.value


def decoded(model: TunedModel, prompts: Sequence[Prompt]) -> list[str]:
    texts: list[str] = model.engine.decode([prompt.ids for prompt in prompts])
    return texts


def test_every_kind_keeps_its_place(model: TunedModel) -> None:
    chat = Instance((Message("user", "b"),), "c", is_chat=True)
    tokens = [70, 71, 72]
    asked = [
        text("a"),
        PromptInput("x", chat),
        PromptInput("x", Instance(()), tokens=tokens),
        text("d"),
    ]
    prompts = written(model, *asked)
    texts = ["a\n", "c\n\nuser:\nb\nassistant:\n", *model.engine.decode([tokens]), "d\n"]
    assert decoded(model, prompts) == texts
    assert {tuple(prompt.stop_tokens) for prompt in prompts} == {tuple(model.stop_tokens)}


def test_a_gap_is_asked_for_in_the_models_own_tokens(infilling_model: TunedModel) -> None:
    tokenizer = infilling_model.engine.tokenizer
    plain, gap = written(infilling_model, text("f("), text("f(", suffix=")"))
    assert tokenizer.decode(gap.ids) == "<|fim_prefix|>f(<|fim_suffix|>)<|fim_middle|>"
    assert tokenizer.decode(plain.ids) == "f(\n"
    end, *_ = plain.stop_tokens
    assert tokenizer.decode(end) == "<|im_end|>"
    assert {*gap.stop_tokens} == {end, *tokenizer.convert_tokens_to_ids(GAP)}


def test_code_that_spells_the_tokens_of_a_gap_is_text(infilling_model: TunedModel) -> None:
    tokenizer = infilling_model.engine.tokenizer
    (gap,) = written(infilling_model, text("a<|fim_middle|>b", suffix="<|im_end|>"))
    tokens = tokenizer.convert_tokens_to_ids([*GAP[:3], "<|im_end|>"])
    assert [gap.ids.count(token) for token in tokens] == [1, 1, 1, 0]
    spelled = "<|fim_prefix|>a<|fim_middle|>b<|fim_suffix|><|im_end|><|fim_middle|>"
    assert tokenizer.decode(gap.ids) == spelled


@pytest.fixture
def moody_model(tmp_path: Path) -> TunedModel:
    """A model whose template takes offence at some words, and counts without end at others."""
    engine = ScriptedEngine()
    engine.tokenizer.split_special_tokens = False
    engine.tokenizer.chat_template = (
        "{% set said = messages[-1]['content'] %}"
        "{% if 'zero' in said %}{{ raise_exception('Say yes') }}{% endif %}"
        "{% if 'million' in said %}{{ 'a' * 10**10 }}{% endif %}"
        "{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}"
    )
    return scripted_model(tmp_path, engine, "chat_template")


def test_what_a_template_refuses_is_the_clients_mistake(moody_model: TunedModel) -> None:
    with pytest.raises(RowRefusedError, match="refuses the conversation: .*Say yes"):
        written(moody_model, text("zero"))


def test_a_template_that_takes_too_much_is_not_the_clients_mistake(moody_model: TunedModel) -> None:
    with pytest.raises(Refusal, match="it needs more memory") as caught:
        written(moody_model, text("a million"))
    assert caught.value.status == 500
    [prompt] = written(moody_model, text("yes"))
    assert decoded(moody_model, [prompt]) == ["yes"]


def test_every_gap_that_cannot_be_filled_is_told(model: TunedModel) -> None:
    refusal = refused(model, text("a"), text("b", "x[1]", "c"), text("d", "x[2]", "e"))
    assert [problem.where for problem in refusal.problems] == ["x[1]", "x[2]"]
    assert refusal.code is None


@pytest.mark.parametrize(("words", "told"), [("x" * 31, "33 tokens"), ("x" * 1000, "at least")])
def test_every_prompt_that_is_too_long_is_told(model: TunedModel, words: str, told: str) -> None:
    refusal = refused(model, text(words, "x[0]"), text("fine"), text(words, "x[2]"))
    assert [problem.where for problem in refusal.problems] == ["x[0]", "x[2]"]
    assert "supports up to 32 input tokens" in str(refusal)
    assert told in str(refusal)
    assert refusal.code == "context_length_exceeded"


def test_token_ids_have_the_same_limit(model: TunedModel) -> None:
    assert len(written(model, PromptInput("x", Instance(()), tokens=[5] * 32))[0].ids) == 32
    assert "received 33" in str(refused(model, PromptInput("x", Instance(()), tokens=[5] * 33)))


def test_long_texts_are_written_in_another_thread(tmp_path: Path) -> None:
    model = scripted_model(tmp_path, max_input_tokens=200_000)
    model.engine.context_length = 300_000
    [prompt] = written(model, text("x" * 100_000))
    assert len(prompt.ids) == 100_002
