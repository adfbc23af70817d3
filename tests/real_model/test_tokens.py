"""Prompts are the template's, word for word; the end of a turn is learnt, and padding is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.data.artifacts import read_records
from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization
from kfp_llm_tuning.components.data.rows import Message
from kfp_llm_tuning.components.data.token_layouts import PaddedRows
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.dataset.encode import Limits, encode_dataset
from kfp_llm_tuning.components.dataset.preprocess import Source, preprocess_dataset
from tests.components.data.rendering.asking import chat_prompt
from tests.components.small_models import assert_learned_alike, small_model
from tests.real_model.runs import RealRun

QUESTION = Message("user", "Where is my parcel?")
CONVERSATION = [QUESTION, Message("assistant", "At the depot."), Message("user", "Thanks!")]


@pytest.fixture(scope="module")
def tokenization(tokenizer: Any) -> Tokenization:
    return Tokenization(tokenizer, prompt_formatter(tokenizer), 1000, 1000)


@pytest.mark.parametrize(
    ("messages", "context"),
    [([QUESTION], ""), (CONVERSATION, ""), (CONVERSATION, "You answer for a shop.")],
    ids=["one turn", "conversation", "context"],
)
def test_a_prompt_is_what_the_template_makes_of_it(
    tokenizer: Any, tokenization: Tokenization, messages: list[Message], context: str
) -> None:
    chat = [{"role": message.author, "content": message.content} for message in messages]
    if context:
        chat.insert(0, {"role": "system", "content": context})
    expected = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]
    formatter = prompt_formatter(tokenizer)
    (prompt,) = tokenization.prompts([chat_prompt(formatter, messages, context)], [None])
    assert prompt.ids == expected


def test_answers_end_with_the_token_that_padding_is_made_of(
    tokenizer: Any, runs: Callable[[str], RealRun]
) -> None:
    encoded = EncodedSet(runs("clinc150-adapter").encoded())
    short, long = sorted((encoded.sequence(row) for row in range(20)), key=_length)[:: 20 - 1]
    assert _length(short) < _length(long)
    for sequence in (short, long):
        answer = sequence.labels.tolist()
        assert answer.count(tokenizer.eos_token_id) == 1
        assert answer[-1] == tokenizer.eos_token_id
    batch = PaddedRows(tokenizer.pad_token_id).collate([short, long])
    last = _length(short) - 1  # What follows on a row's last token is asked of nobody.
    assert set(batch.input_ids[0, last:].tolist()) == {tokenizer.eos_token_id}
    # A position is taken where the next token is a label: of the first row, the answer's alone.
    width = batch.input_ids.shape[1]
    of_short = batch.positions[batch.positions < width]
    assert len(of_short) == short.label_count
    assert (of_short < last).all()
    assert batch.targets[: len(of_short)].tolist() == short.labels.tolist()


@pytest.mark.parametrize(
    "path", ["sgd/train_full_dialogues.jsonl", "gsm8k/train_with_reasoning.jsonl"]
)
def test_real_data_is_learned_alike_in_every_layout(
    path: str, tokenizer: Any, shared_data: Path, tmp_path: Path
) -> None:
    preprocess_dataset(Source(str(shared_data / path), "byte-tiny"), tokenizer, tmp_path)
    encode_dataset(tmp_path, tokenizer, Limits(8192, 1024), tmp_path / "encoded")
    encoded = EncodedSet(tmp_path / "encoded")
    assert_learned_alike(small_model("llama", len(tokenizer)), encoded, range(8))


def test_prompts_of_real_dialogues_have_the_tokens_that_each_has_by_itself(
    tokenizer: Any, shared_data: Path, tmp_path: Path
) -> None:
    source = Source(str(shared_data / "sgd" / "train_full_dialogues.jsonl"), "byte-tiny")
    preprocess_dataset(source, tokenizer, tmp_path)
    prompts = [record.prompt for record in read_records(tmp_path)]
    tokenization = Tokenization(tokenizer, prompt_formatter(tokenizer), 8192, 1024)
    encoded = tokenization.prompts(prompts, [None] * len(prompts))
    assert [tokens.ids for tokens in encoded] == [
        tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts
    ]


def _length(sequence: TokenSequence) -> int:
    return len(sequence.input_ids)
