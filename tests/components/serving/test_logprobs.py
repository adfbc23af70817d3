"""Log-probabilities: tokens as they read within a text, numbers that JSON knows."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from kfp_llm_tuning.components.generation.engine import TokenLogprobs
from kfp_llm_tuning.components.generation.tuned_model import TunedModel
from kfp_llm_tuning.components.serving.answer import ScoredToken
from kfp_llm_tuning.components.serving.logprobs import (
    chat_logprobs,
    completion_logprobs,
    published_logprobs,
)
from tests.components.serving.scripted_engine import ScriptedEngine, scripted_model
from tests.components.serving.test_incremental_detokenizer import FALLBACK_BYTES, with_byte_fallback


@pytest.fixture
def model(tmp_path: Path) -> TunedModel:
    return scripted_model(tmp_path)


@pytest.fixture
def word_model(tmp_path: Path) -> TunedModel:
    """A model whose tokens are words with the blank before them."""
    engine = ScriptedEngine()
    engine.tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=with_byte_fallback(), eos_token="</s>"
    )
    return scripted_model(tmp_path, engine)


def test_tokens_read_as_within_a_text(word_model: TunedModel) -> None:
    tokenizer = word_model.engine.tokenizer
    names = ["▁Hello", "▁world", "!", "<0xE2>", "</s>"]
    tokens = tokenizer.convert_tokens_to_ids(names)
    texts = [word_model.token_text(token) for token in tokens]
    assert texts == [" Hello", " world", "!", "\ufffd", "</s>"]
    assert word_model.byte_tokens == set(FALLBACK_BYTES)
    assert word_model.longest_token == len("▁Hello")


def test_tokens_of_bytes(model: TunedModel) -> None:
    engine = model.engine
    assert [model.token_text(token) for token in engine.tokenizer("a é")["input_ids"]] == [
        "<bos>",
        "a",
        " ",
        "\ufffd",
        "\ufffd",
    ]
    assert model.byte_tokens == set()
    assert model.vocabulary_size == 259


def test_tokens_of_the_same_text_are_told_once(model: TunedModel) -> None:
    first, second = model.engine.tokenizer("é", add_special_tokens=False)["input_ids"]
    scored = ScoredToken(first, 0, TokenLogprobs(-1.0, ((second, -0.5), (first, -1.0))))
    assert published_logprobs(model, [scored])["topLogProbs"] == [{"\ufffd": -0.5}]
    assert completion_logprobs(model, [scored], 7)["text_offset"] == [7]
    [told] = chat_logprobs(model, [scored])["content"]
    assert [one["logprob"] for one in told["top_logprobs"]] == [-0.5, -1.0]


def test_what_was_ruled_out_has_a_number(model: TunedModel) -> None:
    scored = ScoredToken(70, 0, TokenLogprobs(-math.inf, ((71, -math.inf),)))
    assert published_logprobs(model, [scored])["tokenLogProbs"] == [-9999.0]
    assert completion_logprobs(model, [scored], 0)["top_logprobs"][0].popitem()[1] == -9999.0
    assert chat_logprobs(model, [scored])["content"][0]["logprob"] == -9999.0


def test_a_token_that_only_the_model_knows_is_told_by_its_id(model: TunedModel) -> None:
    beyond = len(model.engine.tokenizer) + 5
    scored = ScoredToken(beyond, 0, TokenLogprobs(-1.0, ((beyond, -1.0), (70, -2.0))))
    name = f"token_id:{beyond}"
    assert published_logprobs(model, [scored])["tokens"] == [name]
    assert completion_logprobs(model, [scored], 0)["top_logprobs"] == [{name: -1.0, "C": -2.0}]
    [told] = chat_logprobs(model, [scored])["content"]
    assert (told["token"], told["bytes"]) == (name, None)
    assert [one["bytes"] for one in told["top_logprobs"]] == [None, [67]]
