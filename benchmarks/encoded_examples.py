"""Encoded examples of random tokens, as the tuner reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset

from kfp_llm_tuning.components.data.artifacts import sequence_features


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
    count = len(input_ids)
    columns = {
        "input_ids": input_ids,
        "starts": [[prompt] for prompt in prompt_lengths],
        "stops": [[len(ids)] for ids in input_ids],
        "ends": [[ids[-1]] for ids in input_ids],
        "line": list(range(1, count + 1)),
        "turns": [[0]] * count,
    }
    Dataset.from_dict(columns, features=sequence_features()).save_to_disk(str(folder))
    facts = {"examples": count, "sequences": count, "max_output_tokens": 1024}
    (folder / "encoding.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder
