"""Encoded sets, as the encoder writes them for the tuner."""

from __future__ import annotations

import json
from pathlib import Path

VOCABULARY = 96
EOS = 2


def write_encoded(folder: Path, rows: list[tuple[list[int], int]]) -> Path:
    """Writes rows of (input_ids, prompt_length) as the encoder does."""
    from datasets import Dataset, Features, List, Value, disable_progress_bars

    disable_progress_bars()
    folder.mkdir(parents=True, exist_ok=True)
    if rows:
        integer = Value("int32")
        features = Features(
            {"input_ids": List(integer), "prompt_length": integer, "line": integer, "turn": integer}
        )
        columns = {
            "input_ids": [ids for ids, _ in rows],
            "prompt_length": [prompt for _, prompt in rows],
            "line": list(range(1, len(rows) + 1)),
            "turn": [0] * len(rows),
        }
        Dataset.from_dict(columns, features=features).save_to_disk(str(folder))
    facts = {
        "examples": len(rows),
        "tokens": sum(len(ids) for ids, _ in rows),
        "label_tokens": sum(len(ids) - prompt for ids, prompt in rows),
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
