"""Parquet and Arrow: rows by their numbers, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.wording import one_line
from kfp_llm_tuning.components.data.sources.containers import Container
from kfp_llm_tuning.components.data.sources.parts import Part, Remark, refuse_rest
from kfp_llm_tuning.components.data.sources.row_lines import batch_rows, encode_row

if TYPE_CHECKING:
    import pyarrow

# Rows that are turned into lines at a time, and about how many bytes of them.
_BATCH_ROWS = 1024
_BATCH_BYTES = 8 * 2**20
# Of a Parquet column so much is read ahead, instead of all of a row group.
_READ_AHEAD_BYTES = 2**20


def read_columnar(stream: IO[bytes], container: Container, file: str) -> Iterator[Part]:
    """Reads a Parquet or Arrow file.

    Args:
        stream: The file; one of any place but an Arrow stream must be able to seek.
        container: Which of them it is.
        file: Its name in findings.

    Yields:
        Rows, numbered from 1: fields whose value is null are left out; times, dates and decimals
        become texts, lists and structs JSON. Where the file is damaged, that is the last.

    Raises:
        UserError: If pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        what = f"{file} is {container}, and pyarrow is not installed."
        raise UserError(Problem(what, fix="Install it: pip install pyarrow.")) from error
    return batch_rows(_rows(stream, container, file), file, unit="row")


def _rows(
    stream: IO[bytes], container: Container, file: str
) -> Iterator[tuple[int, bytes | Remark]]:
    import pyarrow

    number = 1
    try:
        for batch in _batches(stream, container):
            for row in _values(batch):
                yield number, encode_row(row)
                number += 1
    except (pyarrow.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        reason = f"{container} that is damaged, or was cut off ({one_line(error)})"
        again = "Write or copy the file again."
        yield number, refuse_rest(file, number, f"the file is {reason}", again, unit="row")


def _batches(stream: IO[bytes], container: Container) -> Iterator[pyarrow.RecordBatch]:
    from pyarrow import ipc, parquet

    if container == Container.PARQUET:
        table = parquet.ParquetFile(stream, buffer_size=_READ_AHEAD_BYTES, pre_buffer=False)
        rows, size = table.metadata.num_rows, _uncompressed_bytes(table.metadata)
        most = max(1, min(_BATCH_ROWS, _BATCH_BYTES * rows // max(size, 1)))
        yield from table.iter_batches(batch_size=most)
    elif container == Container.ARROW_FILE:
        reader = ipc.open_file(stream)
        for index in range(reader.num_record_batches):
            yield from _slices(reader.get_batch(index))
    else:
        for batch in ipc.open_stream(stream):
            yield from _slices(batch)


def _uncompressed_bytes(metadata: Any) -> int:
    groups = range(metadata.num_row_groups)
    return sum(metadata.row_group(group).total_byte_size for group in groups)


def _slices(batch: pyarrow.RecordBatch) -> Iterator[pyarrow.RecordBatch]:
    for start in range(0, batch.num_rows, _BATCH_ROWS):
        yield batch.slice(start, _BATCH_ROWS)


def _values(batch: pyarrow.RecordBatch) -> Iterator[dict[str, Any]]:
    """Gives each row's values; a null stands for a field that the row does not have."""
    import pyarrow

    nested = {field.name for field in batch.schema if pyarrow.types.is_nested(field.type)}
    for row in batch.to_pylist(maps_as_pydicts="strict"):
        yield {
            name: _without_nulls(value) if name in nested else value
            for name, value in row.items()
            if value is not None
        }


def _without_nulls(value: Any) -> Any:
    """Takes out what a struct has only because another row's struct has it."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value
