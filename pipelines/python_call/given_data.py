"""Data as Python has it: paths, data frames, lists of rows; what is no file becomes one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.data.sources.row_lines import encode_row

_ALLOWED = "a path or URI or several, a data frame, or rows that are dictionaries"
# So many rows of a data frame are Python objects at a time.
_FRAME_ROWS = 10_000
_SHOWN_PROBLEMS = 20


def location_of(data: object) -> str:
    """Says where data is.

    Args:
        data: As it was given.

    Returns:
        The path or URI that it is, or the list of those that it lists, as ``dataset_uri`` takes it;
        empty where it is data itself.
    """
    places = data if isinstance(data, list | tuple) else [data]
    if not places or not all(isinstance(place, str | os.PathLike) for place in places):
        return ""
    return ",".join(map(os.fspath, places))


def write_rows(data: object, file: Path, name: str) -> None:
    """Writes data that is no file yet as JSONL, a row a line: row 0 of a frame is line 1.

    Args:
        data: A pandas frame, another that exports Arrow (polars, pyarrow, ...), or any iterable of
            dictionaries. A frame's missing values are fields that the row has not.
        file: What to write.
        name: The argument, for messages.

    Raises:
        UserError: If it is none of these, or has no rows; for every row that is no dictionary or
            cannot be written as JSON.
    """
    problems: list[Problem] = []
    written = 0
    with file.open("wb") as stream:
        for number, row in enumerate(_rows(data, name)):
            try:
                stream.write(_line(row) + b"\n")
                written += 1
            except (TypeError, ValueError, RecursionError) as error:
                what = f"row {number}, {short(row)}, cannot be written: {error}."
                problems.append(Problem(what, name, "a dictionary of texts, lists and numbers"))
                if len(problems) == _SHOWN_PROBLEMS:
                    break
    if not written and not problems:
        problems.append(Problem("there are no rows.", name))
    raise_all(problems)


def _rows(data: object, name: str) -> Iterator[Any]:
    pandas = sys.modules.get("pandas")  # Who has a frame of it has imported it.
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _pandas_rows(data)
    if hasattr(data, "__arrow_c_stream__"):
        return _arrow_rows(data)
    if isinstance(data, Iterable) and not isinstance(data, Mapping | bytes):
        return iter(data)
    raise_all([Problem(f"{short(data)} is no data.", name, _ALLOWED)])
    raise AssertionError("unreachable")


def _pandas_rows(frame: Any) -> Iterator[Mapping[str, Any]]:
    for begin in range(0, len(frame), _FRAME_ROWS):
        part = frame.iloc[begin : begin + _FRAME_ROWS].astype(object)
        yield from map(_present, part.where(part.notna(), None).to_dict(orient="records"))


def _arrow_rows(frame: Any) -> Iterator[Mapping[str, Any]]:
    import pyarrow

    for batch in pyarrow.RecordBatchReader.from_stream(frame):
        for begin in range(0, batch.num_rows, _FRAME_ROWS):
            yield from map(_present, batch.slice(begin, _FRAME_ROWS).to_pylist())


def _present(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if value is not None}


def _line(row: object) -> bytes:
    if not isinstance(row, Mapping):
        raise TypeError("it is no dictionary")
    return encode_row(dict(row))
