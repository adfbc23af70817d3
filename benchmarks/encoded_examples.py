"""Encoded sets that are made on the spot, as the tuner reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset

from kfp_llm_tuning.components.data.artifacts import sequence_features
from kfp_llm_tuning.components.data.token_sequence import TokenSequence


def write_examples(
    folder: Path, input_ids: Sequence[Sequence[int]], prompt_lengths: Sequence[int]
) -> Path:
    """Writes sequences of one answer each.

    Args:
        folder: Takes them.
        input_ids: Tokens of each.
        prompt_lengths: Where each answer begins.

    Returns:
        The folder.
    """
    pairs = zip(input_ids, prompt_lengths, strict=True)
    return write_sequences(
        folder, [TokenSequence.of_answer(np.array(ids, np.int32), prompt) for ids, prompt in pairs]
    )


def write_sequences(folder: Path, sequences: Iterable[TokenSequence]) -> Path:
    """Writes sequences.

    Args:
        folder: Takes them.
        sequences: Of any number of answers each.

    Returns:
        The folder.
    """
    rows = [
        {
            "input_ids": one.input_ids,
            "starts": one.starts,
            "stops": one.stops,
            "ends": one.ends,
            "line": line,
            "turns": np.arange(len(one.starts)),
        }
        for line, one in enumerate(sequences, start=1)
    ]
    Dataset.from_list(rows, features=sequence_features()).save_to_disk(str(folder))
    examples = sum(len(row["turns"]) for row in rows)
    facts = {"examples": examples, "sequences": len(rows), "max_output_tokens": 1024}
    (folder / "encoding.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder
