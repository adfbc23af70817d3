"""Reads the header of a safetensors file: which tensors it holds, and whether it is whole.

The format (huggingface/safetensors, "Format"): 8 bytes, the header's length as a little-endian
unsigned integer; the header, a JSON object of tensors with dtype, shape and the range of their
bytes; the bytes of all tensors, one after another, to the file's end.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.checkpoint_files import (
    POINTER_FIX,
    CheckpointFile,
    is_lfs_pointer,
)
from kfp_llm_tuning.components.models.json_files import parse_object

# Types of weights that are not packed.
FLOATS = ("F64", "F32", "F16", "BF16")
_LENGTH_BYTES = 8
# The library's own limit.
_MOST_HEADER_BYTES = 100_000_000
_MOST_TENSORS = 500_000
_MOST_DIMENSIONS = 16


@dataclass(frozen=True)
class Tensor:
    """What a header tells of a tensor.

    Attributes:
        dtype: In safetensors' spelling: BF16, F32, I32, U8 ...
        shape: Its dimensions.
    """

    dtype: str
    shape: tuple[int, ...]


def read_header(file: CheckpointFile, where: str) -> dict[str, Tensor]:
    """Reads the header, and none of the tensors.

    Args:
        file: A safetensors file.
        where: Names it in messages.

    Returns:
        The tensors by name.

    Raises:
        UserError: If it is a pointer of Git LFS, no safetensors, or shorter or longer than its
            header says.
    """
    if is_lfs_pointer(file.read(0, min(file.size, 1024))):
        raise UserError(
            Problem("is a pointer of Git LFS, not the weights.", where, "", POINTER_FIX)
        )
    length = int.from_bytes(file.read(0, _LENGTH_BYTES), "little")
    begin = _LENGTH_BYTES + length
    if file.size < _LENGTH_BYTES or length > _MOST_HEADER_BYTES:
        raise _not_whole(where, "it is no safetensors file")
    if file.size < begin:
        raise _not_whole(where, f"it has {file.size:,} bytes, its header alone {begin:,}")
    header = file.read(_LENGTH_BYTES, begin)
    if header.count(b"{") > _MOST_TENSORS:
        raise _not_whole(where, f"its header holds more than {_MOST_TENSORS:,} tensors")
    entries = parse_object(header, f"{where} (its header)")
    entries.pop("__metadata__", None)
    try:
        spans = sorted(_span(entry) for entry in entries.values())
        tensors = {
            name: Tensor(str(entry["dtype"]), tuple(entry["shape"]))
            for name, entry in entries.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise _not_whole(where, "its header describes no tensors") from error
    _check_spans(spans, file.size - begin, where)
    return tensors


def _span(entry: dict[str, Any]) -> tuple[int, int]:
    (begin, end), shape = entry["data_offsets"], entry["shape"]
    numbers = (begin, end, *shape)
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise ValueError
    if len(shape) > _MOST_DIMENSIONS:
        raise ValueError
    # Less than a byte an element is possible (F4), more than 16 bytes is not (C128).
    if prod(shape) > 8 * (end - begin) or end - begin > 16 * prod(shape):
        raise ValueError
    return begin, end


def _check_spans(spans: list[tuple[int, int]], size: int, where: str) -> None:
    ends = [0, *(end for _, end in spans)]
    if any(begin != before for (begin, _), before in zip(spans, ends, strict=False)):
        raise _not_whole(where, "its tensors overlap or leave gaps")
    if ends[-1] != size:
        raise _not_whole(where, f"its tensors take {ends[-1]:,} bytes, the file has {size:,}")


def _not_whole(where: str, what: str) -> UserError:
    return UserError(Problem(f"is not whole: {what}.", where, fix="Copy the model again."))
