"""Recognises files that are no JSONL at all, so that they get one message and not one a line."""

from __future__ import annotations

from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.lines import BYTE_ORDER_MARK

# Enough to see what a file is.
HEAD_BYTES = 4096

_RECOMPRESS = "Decompress it, or compress it with gzip."
_SIGNATURES = (
    (b"\x1f\x8b", "gzip data", "Give it a name that ends in .gz."),
    (b"PAR1", "a Parquet file", "Write JSONL: pandas to_json(orient='records', lines=True)."),
    (b"PK\x03\x04", "a ZIP archive or an Excel file", "Unpack it or export it as JSONL."),
    (b"\xff\xfe", "UTF-16 text", "Save it as UTF-8."),
    (b"\xfe\xff", "UTF-16 text", "Save it as UTF-8."),
    (b"%PDF", "a PDF document", "Write its text as JSONL."),
    (b"BZh", "bzip2 data", _RECOMPRESS),
    (b"\x28\xb5\x2f\xfd", "Zstandard data", _RECOMPRESS),
)
_ARRAY = ("one JSON array", "Convert it: jq -c '.[]' FILE > FILE.jsonl")
_PRETTY = ("pretty-printed JSON", "Convert it: jq -c . FILE > FILE.jsonl")
_TABLE = ("a table (CSV or TSV)", "Write one JSON object a line, with the columns as fields.")
_COLUMNS = {"input_text", "output_text", "messages", "prompt", "completion", "text", "label"}


def recognise_other_format(head: bytes) -> Finding | None:
    """Looks at a file's beginning.

    Args:
        head: Its first bytes, :data:`HEAD_BYTES` at most.

    Returns:
        The finding where the file is compressed, binary, UTF-16, CSV, one JSON array over several
        lines or pretty-printed; None where it may be JSONL.
    """
    for signature, what, fix in _SIGNATURES:
        if head.startswith(signature):
            return _finding(what, fix)
    if head[:2] in (b"{\0", b"\0{"):
        return _finding("UTF-16 text", "Save it as UTF-8.")
    first = head.removeprefix(BYTE_ORDER_MARK).lstrip().partition(b"\n")[0].strip()
    if first in (b"[", b"[{") or (first.startswith(b"[") and first.endswith(b"},")):
        return _finding(*_ARRAY)
    if first == b"{":
        return _finding(*_PRETTY)
    return _finding(*_TABLE) if _is_table_header(first) else None


def _finding(what: str, fix: str) -> Finding:
    return Finding(
        "other_file_format", f"the file is {what}.", "JSONL: one JSON object a line", fix
    )


def _is_table_header(line: bytes) -> bool:
    columns = line.decode(errors="replace").lower().replace("\t", ",").replace(";", ",").split(",")
    names = {column.strip(" \"'") for column in columns}
    return len(columns) > 1 and bool(names & _COLUMNS)
