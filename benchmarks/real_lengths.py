"""Encoded sets that GPU benchmarks read: real texts, and rows of one length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from encoded_examples import write_sequences
from transformers import PreTrainedTokenizerBase

from kfp_llm_tuning.components.data.encoded_set import EncodedSet
from kfp_llm_tuning.components.data.step_sampler import StepSampler
from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.dataset.encode import Limits, encode_dataset
from kfp_llm_tuning.components.dataset.preprocess import Source, preprocess_dataset

FIXED_LENGTH = 2048
# What the pipelines' limits let a row have: 8,192 tokens of prompt and 1,024 of an answer.
LONGEST = 9216
_LIMITS = Limits(max_input_tokens=8192, max_output_tokens=1024)


def encode(path: Path, tokenizer: PreTrainedTokenizerBase, folder: Path) -> EncodedSet:
    """Encodes a dataset as the pipelines do.

    Args:
        path: The dataset.
        tokenizer: Its tokens are counted.
        folder: Takes what is written.
    """
    # The name of a model is said in messages alone.
    preprocess_dataset(Source(str(path), "byte-tiny"), tokenizer, folder / "records")
    encode_dataset(folder / "records", tokenizer, _LIMITS, folder / "encoded")
    return EncodedSet(folder / "encoded")


def apart(dataset: EncodedSet, folder: Path) -> EncodedSet:
    """Gives every answer a sequence of its own, with all that stands before it.

    Args:
        dataset: Sequences of several answers.
        folder: Takes what is written.
    """
    sequences = [dataset.sequence(row) for row in range(len(dataset))]
    return EncodedSet(
        write_sequences(
            folder,
            [one.part(n, n + 1) for one in sequences for n in range(len(one.starts))],
        )
    )


def of_one_length(
    count: int, length: int = FIXED_LENGTH, vocabulary: int = 256
) -> list[TokenSequence]:
    """Makes sequences of random tokens, the last quarter of which is an answer.

    Args:
        count: How many.
        length: Their tokens.
        vocabulary: Tokens that they are made of.
    """
    ids = np.random.default_rng(0).integers(3, vocabulary, (count, length)).astype(np.int32)
    return [TokenSequence.of_answer(row, length - length // 4) for row in ids]


def steps(dataset: EncodedSet, batch_size: int, count: int) -> Sequence[list[TokenSequence]]:
    """Takes the first steps of a run on a set.

    Args:
        dataset: The set.
        batch_size: Answers of a step.
        count: How many steps.
    """
    sampler = StepSampler(dataset, batch_size=batch_size, steps=count, seed=0)
    return [[dataset.part(part) for part in step.parts] for step in sampler]
