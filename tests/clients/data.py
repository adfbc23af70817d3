"""Example data that the clients' scripts and requests name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_data(bucket: Path) -> None:
    """Writes training and evaluation sets of text, code and conversations.

    Args:
        bucket: The folder of a bucket.
    """
    _write(bucket / "train.jsonl", map(_sum, range(24)))
    _write(bucket / "eval.jsonl", map(_sum, range(100, 112)))
    _write(bucket / "code.jsonl", map(_function, range(16)))
    _write(bucket / "chat.jsonl", map(_conversation, range(16)))


def _sum(number: int) -> dict[str, str]:
    return {"input_text": f"What is {number} + 1?", "output_text": str(number + 1)}


def _function(number: int) -> dict[str, str]:
    return {
        "input_text": f"def add_{number}(x):",
        "output_text": f"    return x + {number}",
    }


def _conversation(number: int) -> dict[str, Any]:
    messages = [
        ("user", f"Where is order {number}?"),
        ("assistant", f"Order {number} is at sea."),
        ("user", "When does it come?"),
        ("assistant", f"In {number} days."),
    ]
    return {"messages": [{"author": author, "content": text} for author, text in messages]}


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
