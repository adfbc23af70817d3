"""Recognises what a file is by its beginning: a container of rows, or something else entirely."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath

from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.lines import BYTE_ORDER_MARK

# Enough to see what a file is.
HEAD_BYTES = 4096


class Container(StrEnum):
    """What rows are read from; the value is its name for people."""

    JSON_LINES = "JSONL"
    JSON_ARRAY = "a JSON array"
    TABLE = "a table (CSV or TSV)"
    PARQUET = "a Parquet file"
    ARROW_FILE = "an Arrow file"
    ARROW_STREAM = "an Arrow stream"


READ = (
    "JSONL (one JSON object a line), a JSON array of objects, CSV, TSV, Parquet or Arrow; "
    "text in UTF-8, also .gz"
)
# What file names end in: of a folder's files these are rows.
DATA_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
TABLE_SUFFIXES = (".csv", ".tsv")
# Endings under which fsspec opens a file decompressed.
COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
_ONLY_LINES = "JSONL: one JSON object a line"
_RECOMPRESS = "Decompress it, or compress it with gzip."
_CONTAINER_SIGNATURES = (
    (b"PAR1", Container.PARQUET),
    (b"ARROW1\0\0", Container.ARROW_FILE),
    # A message's continuation mark; its length follows, below 16 MiB for every schema.
    (b"\xff\xff\xff\xff", Container.ARROW_STREAM),
)
_OTHER_SIGNATURES = (
    (b"\x1f\x8b", "gzip data", "Give it a name that ends in .gz."),
    (b"PK\x03\x04", "a ZIP archive or an Excel file", "Unpack it, or export it as CSV (UTF-8)."),
    (b"\xff\xfe", "UTF-16 text", "Save it as UTF-8."),
    (b"\xfe\xff", "UTF-16 text", "Save it as UTF-8."),
    (b"%PDF", "a PDF document", "Write its text as JSONL."),
    (b"BZh", "bzip2 data", _RECOMPRESS),
    (b"\x28\xb5\x2f\xfd", "Zstandard data", _RECOMPRESS),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "Export it as CSV (UTF-8)."),
    (b"SQLite format 3\0", "an SQLite database", "Export its rows as CSV or JSONL."),
)
# Of text formats and of conversations: names that tell a table's first line.
_COLUMNS = frozenset(
    ("input_text", "output_text", "text", "label", "instruction", "output", "prompt", "completion")
    + ("messages", "contents", "conversations")
)


def recognise(head: bytes, name: str) -> Container | Finding:
    """Looks at a file's beginning.

    Args:
        head: Its first bytes, :data:`HEAD_BYTES` at most.
        name: Its name or URI, whose ending tells a table.

    Returns:
        What it holds rows in; JSONL where nothing speaks for another. Of a file that is none, such
        as an archive or UTF-16 text, the finding that says so.
    """
    for signature, container in _CONTAINER_SIGNATURES:
        if head.startswith(signature):
            return container
    for signature, what, fix in _OTHER_SIGNATURES:
        if head.startswith(signature):
            return _refuse(what, fix)
    if head[:2] in (b"{\0", b"\0{", b"[\0", b"\0["):
        return _refuse("UTF-16 text", "Save it as UTF-8.")
    text = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    first = text.partition(b"\n")[0].strip()
    if first.startswith(b"["):
        return Container.JSON_ARRAY
    if first == b"{":
        return _refuse("pretty-printed JSON", "Convert it: jq -c . FILE > FILE.jsonl")
    if first.startswith(b"{"):
        return Container.JSON_LINES
    if text and (suffix_of(name) in TABLE_SUFFIXES or _is_table_header(first)):
        return Container.TABLE
    return Container.JSON_LINES


def refuse_container(container: Container) -> Finding:
    """Says of a container that it is none where JSONL alone is read."""
    fix = (
        "Convert it (kfp-llm-tuning convert FILE FILE.jsonl --to published), give dataset_format, "
        "or tune an open model, which takes it as it is."
    )
    return _refuse(container.value, fix, _ONLY_LINES)


def suffix_of(name: str) -> str:
    """Gives a file's ending in lower case, that of its compression left out: ``.csv``."""
    path = PurePosixPath(name.lower())
    return path.with_suffix("").suffix if path.suffix in COMPRESSED_SUFFIXES else path.suffix


def _refuse(what: str, fix: str, allowed: str = READ) -> Finding:
    return Finding("other_file_format", f"the file is {what}.", allowed, fix)


def _is_table_header(line: bytes) -> bool:
    columns = line.decode(errors="replace").lower().replace("\t", ",").replace(";", ",").split(",")
    names = {column.strip(" \"'") for column in columns}
    return len(columns) > 1 and bool(names & _COLUMNS)
