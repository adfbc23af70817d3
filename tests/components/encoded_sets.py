"""Encoded sets, as the encoder writes them for the tuner."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VOCABULARY = 96
EOS = 2


# Tokens, and where each answer's labels start and stop; a number is where the only answer starts.
EncodedRow = tuple[list[int], int | list[tuple[int, int]]]


def sequences(rows: Sequence[EncodedRow]) -> Any:
    """Makes the columns of an encoded set; every answer ends with the token that stands there."""
    from datasets import Dataset

    from kfp_llm_tuning.components.data.artifacts import sequence_features

    spans = [_spans(ids, answers) for ids, answers in rows]
    columns = {
        "input_ids": [ids for ids, _ in rows],
        "starts": [[start for start, _ in row] for row in spans],
        "stops": [[stop for _, stop in row] for row in spans],
        "ends": [
            [ids[stop - 1] for _, stop in row] for (ids, _), row in zip(rows, spans, strict=True)
        ],
        "line": list(range(1, len(rows) + 1)),
        "turns": [list(range(len(row))) for row in spans],
    }
    return Dataset.from_dict(columns, features=sequence_features())


def write_encoded(folder: Path, rows: Sequence[EncodedRow]) -> Path:
    """Writes sequences as the encoder does."""
    from datasets import disable_progress_bars

    disable_progress_bars()
    folder.mkdir(parents=True, exist_ok=True)
    if rows:
        sequences(rows).save_to_disk(str(folder))
    spans = [_spans(ids, answers) for ids, answers in rows]
    facts = {
        "examples": sum(map(len, spans)),
        "sequences": len(rows),
        "tokens": sum(len(ids) for ids, _ in rows),
        "label_tokens": sum(stop - start for row in spans for start, stop in row),
        "max_input_tokens": 64,
        "max_output_tokens": 16,
        "content_hash": f"{folder.name}-{len(rows)}",
        "source_sha256": "0" * 64,
        "source_bytes": 1000,
        "source_uri": "rows.jsonl",
        "prompt_format": "plain",
        "stop_token_ids": [EOS],
    }
    (folder / "encoding.json").write_text(json.dumps(facts))
    return folder


def _spans(ids: list[int], answers: int | list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(answers, len(ids))] if isinstance(answers, int) else answers


def make_rows(count: int, seed: int = 0) -> list[tuple[list[int], int]]:
    """Makes rows whose label copies the prompt's first tokens, of uneven lengths."""
    import numpy as np

    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        prompt = generator.integers(3, VOCABULARY, generator.integers(4, 20)).tolist()
        label = prompt[: int(generator.integers(1, 4))]
        rows.append(([*prompt, *label, EOS], len(prompt)))
    return rows
