"""Reads the JSON of a checkpoint, which is other people's: in bounded time and memory, or a reason.

What is bounded is what is built, not only the bytes: a short file of a million empty lists takes a
hundred times its size. The limits leave several times the room of the largest published models
(tokenizer.json of 33 MB and 2 million values, an index of 18 MB and 180,000 tensors).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.checkpoint_files import (
    POINTER_FIX,
    TOKENIZER,
    WEIGHT_INDEX,
    CheckpointFile,
    is_lfs_pointer,
    local_file,
)

_COPY_AGAIN = "Copy the model again, or choose another."
_JSON_NAMES = {
    list: "list",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


class _Limits(NamedTuple):
    bytes: int
    values: int


_USUAL = _Limits(16 * 2**20, 500_000)
_LARGER = {
    TOKENIZER: _Limits(128 * 2**20, 8_000_000),
    WEIGHT_INDEX: _Limits(64 * 2**20, 2_000_000),
    "vocab.json": _Limits(64 * 2**20, 4_000_000),
}


def read_local_object(path: Path) -> dict[str, Any]:
    """Reads a JSON file of this machine; see `read_object`."""
    return read_object(local_file(path), str(path))


def read_object(file: CheckpointFile, where: str) -> dict[str, Any]:
    """Reads a JSON file that holds one object.

    Args:
        file: The file.
        where: Names it in the message.

    Returns:
        The object.

    Raises:
        UserError: As `read_text`, and if it is no JSON, is nested too deeply or no object.
    """
    return parse_object(read_text(file, where), where)


def read_text(file: CheckpointFile, where: str) -> str:
    """Reads a text file of a checkpoint.

    Args:
        file: The file.
        where: Names it in the message.

    Returns:
        Its text.

    Raises:
        UserError: If it is no UTF-8, a pointer of Git LFS, too large, or cannot be read.
    """
    limits = _LARGER.get(file.name, _USUAL)
    if file.size > limits.bytes:
        raise _unusable(where, f"has {file.size:,} bytes", f"at most {limits.bytes:,}")
    try:
        content = file.read(0, file.size)
    except OSError as error:
        raise _unusable(where, f"cannot be read: {error.strerror or error}") from error
    if is_lfs_pointer(content):
        raise UserError(Problem("is a pointer of Git LFS, not the file.", where, "", POINTER_FIX))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unusable(where, f"is no UTF-8: {error.reason} at byte {error.start:,}") from error
    values = text.count(",") + text.count("[") + text.count("{")
    if values > limits.values:
        raise _unusable(where, f"holds about {values:,} values", f"at most {limits.values:,}")
    return text


def parse_object(text: str | bytes, where: str) -> dict[str, Any]:
    """Parses JSON that holds one object.

    Args:
        text: Of bounded size.
        where: Names it in the message.

    Returns:
        The object.

    Raises:
        UserError: If it is no JSON, is nested too deeply or no object.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise _unusable(where, "is nested too deeply") from error
    except ValueError as error:
        raise _unusable(where, f"is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise _unusable(where, f"is a JSON {_JSON_NAMES[type(value)]}", "an object")
    return value


def _unusable(where: str, what: str, allowed: str = "") -> UserError:
    return UserError(Problem(f"{what}.", where, allowed, _COPY_AGAIN))
