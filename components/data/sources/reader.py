"""Reads a dataset, whatever it stands in, as parts of JSON lines that know their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from kfp_llm_tuning.components.common.input_stream import BrokenInput
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity
from kfp_llm_tuning.components.data.reading.lines import BYTE_ORDER_MARK, BinaryReader
from kfp_llm_tuning.components.data.sources.columnar import read_columnar
from kfp_llm_tuning.components.data.sources.containers import (
    HEAD_BYTES,
    Container,
    recognise,
    refuse_container,
    suffix_of,
)
from kfp_llm_tuning.components.data.sources.files import list_files, open_file
from kfp_llm_tuning.components.data.sources.json_array import read_json_array
from kfp_llm_tuning.components.data.sources.json_lines import read_json_lines
from kfp_llm_tuning.components.data.sources.parts import Part, Remark, SourceFile
from kfp_llm_tuning.components.data.sources.tables import read_table


def read_source(uri: str, name: str, *, jsonl_only: bool = False) -> Iterator[Part]:
    """Reads every file of a dataset, one after the other, in flat memory.

    Args:
        uri: What :func:`~.files.list_files` takes.
        name: What the dataset is called in findings.
        jsonl_only: Whether ``uri`` is one JSONL file and nothing else, as the published templates
            have it.

    Yields:
        Rows and remarks in the order of the files.

    Raises:
        UserError: If a file cannot be found or opened, or a package is missing that reads it.
    """
    files = [SourceFile(uri, name)] if jsonl_only else list_files(uri, name)
    for file in files:
        yield from _read_file(file, jsonl_only)


def is_one_jsonl_file(uri: str) -> bool:
    """Tells whether a dataset is one JSONL file: what ``jsonl_only`` reads.

    Raises:
        UserError: If a file cannot be found or opened.
    """
    files = list_files(uri)
    if [file.uri for file in files] != [uri]:
        return False
    with open_file(uri) as opened:
        return recognise(_Peeked(opened).head, uri) == Container.JSON_LINES


def _read_file(file: SourceFile, jsonl_only: bool) -> Iterator[Part]:
    with open_file(file.uri) as opened:
        stream = _Peeked(opened)
        container = recognise(stream.head, file.uri)
        if isinstance(container, Container) and jsonl_only and container != Container.JSON_LINES:
            container = refuse_container(container)
        if isinstance(container, Finding):
            yield Remark(replace(container, file=file.name), unread=True)
            return
        if container in (Container.PARQUET, Container.ARROW_FILE, Container.ARROW_STREAM):
            yield from read_columnar(opened.rewound(), container, file.name)
            return
        if stream.skip_mark():
            yield _note_mark(file.name)
        yield from _TEXT_READERS[container](stream, file)


def _note_mark(file: str) -> Remark:
    what = "the file begins with a byte order mark, which is skipped."
    finding = Finding("byte_order_mark", what, severity=Severity.NOTE, file=file)
    return Remark(finding, size=len(BYTE_ORDER_MARK))


def _read_table(stream: BinaryReader, file: SourceFile) -> Iterator[Part]:
    return read_table(stream, file.name, "\t" if suffix_of(file.uri) == ".tsv" else "")


_TEXT_READERS: dict[Container, Callable[[BinaryReader, SourceFile], Iterator[Part]]] = {
    Container.JSON_LINES: lambda stream, file: read_json_lines(stream, file.name),
    Container.JSON_ARRAY: lambda stream, file: read_json_array(stream, file.name),
    Container.TABLE: _read_table,
}


class _Peeked:
    """A stream whose beginning was looked at."""

    def __init__(self, stream: BinaryReader) -> None:
        self._stream = stream
        self._broken: BrokenInput | None = None
        self.head = b""
        try:
            while len(self.head) < HEAD_BYTES:
                block = stream.read(HEAD_BYTES - len(self.head))
                if not block:
                    break
                self.head += block
        except BrokenInput as error:
            self._broken = error

    def read(self, size: int, /) -> bytes:
        """Gives the beginning first; what broke there breaks after it."""
        if self.head:
            block, self.head = self.head[:size], self.head[size:]
            return block
        if self._broken:
            raise self._broken
        return self._stream.read(size)

    def skip_mark(self) -> bool:
        """Leaves a byte order mark out; tells whether there is one."""
        rest = self.head.removeprefix(BYTE_ORDER_MARK)
        found, self.head = len(rest) < len(self.head), rest
        return found
