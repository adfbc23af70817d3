"""Files that hold no rows, lines too long to be read, and characters that deserve a warning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kfp_llm_tuning.components.data.formats.published import PUBLISHED_TEXT
from kfp_llm_tuning.components.data.reading.findings import Findings, Severity, list_problems
from kfp_llm_tuning.components.data.reading.limits import MAXIMUM_LINE_BYTES
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.sources.containers import READ
from tests.components.data.formats.published_rows import GOOD

UTF_16 = ("UTF-16 text", "Save it as UTF-8.")
PACKED = "Decompress it, or compress it with gzip."
# Content, what the file is called, what is to be done.
WHOLE_FILES = {
    "gzip without .gz": (
        b"\x1f\x8b\x08\x00",
        ("gzip data", "Give it a name that ends in .gz."),
    ),
    "Excel": (
        b"PK\x03\x04",
        ("a ZIP archive or an Excel file", "Unpack it, or export it as CSV (UTF-8)."),
    ),
    "UTF-16 little-endian": ("\ufeff{}".encode("utf-16-le"), UTF_16),
    "UTF-16 without a mark": ('{"input_text": "a"}'.encode("utf-16-le"), UTF_16),
    "UTF-16 big-endian without a mark": ('{"input_text": "a"}'.encode("utf-16-be"), UTF_16),
    "UTF-16 big-endian": ("\ufeff{}".encode("utf-16-be"), UTF_16),
    "PDF": (b"%PDF-1.7\n", ("a PDF document", "Write its text as JSONL.")),
    "bzip2": (b"BZh91AY", ("bzip2 data", PACKED)),
    "Zstandard": (b"\x28\xb5\x2f\xfd", ("Zstandard data", PACKED)),
    "pretty-printed": (
        b'{\n  "input_text": "a"\n}\n',
        ("pretty-printed JSON", "Convert it: jq -c . FILE > FILE.jsonl"),
    ),
}
# What else holds rows, where the published templates' JSONL alone is read.
OTHER_CONTAINERS = {
    "a Parquet file": b"PAR1\x00",
    "a JSON array": b'[\n  {"input_text": "a"}\n]\n',
    "a table (CSV or TSV)": b'\xef\xbb\xbf"input_text","output_text"\r\na,b\r\n',
}


@pytest.mark.parametrize(("content", "expected"), WHOLE_FILES.values(), ids=WHOLE_FILES)
def test_file_that_holds_no_rows_gets_one_message(
    content: bytes, expected: tuple[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(content)
    findings = Findings(20)
    scan(str(file), PUBLISHED_TEXT, findings, lambda place, row: None)
    what, fix = expected
    assert [str(problem) for problem in list_problems(findings)] == [
        f"train.jsonl: the file is {what}. Allowed: {READ}. {fix}"
    ]


@pytest.mark.parametrize(("what", "content"), OTHER_CONTAINERS.items(), ids=OTHER_CONTAINERS)
def test_published_models_keep_their_jsonl(what: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(content)
    findings = Findings(20)
    closed = replace(PUBLISHED_TEXT, jsonl_only=True)
    scanned = scan(str(file), closed, findings, lambda place, row: None)
    assert not scanned.is_read
    (problem,) = list_problems(findings)
    assert str(problem).startswith(
        f"train.jsonl: the file is {what}. Allowed: JSONL: one JSON object a line."
    )
    assert "convert FILE FILE.jsonl --to published" in problem.fix


def test_long_line_is_skipped_and_told(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    good = GOOD[PUBLISHED_TEXT] + b"\n"
    with file.open("wb") as stream:
        stream.write(good + b'{"input_text": "')
        for _ in range(MAXIMUM_LINE_BYTES // 2**20 + 1):
            stream.write(b"x" * 2**20)
        stream.write(b'", "output_text": "b"}\n' + good)
    findings = Findings(20)
    visited = []
    scanned = scan(str(file), PUBLISHED_TEXT, findings, lambda place, row: visited.append(place))
    size = (MAXIMUM_LINE_BYTES // 2**20 + 1) * 2**20 + 38
    assert [str(problem) for problem in list_problems(findings)] == [
        f"train.jsonl line 2: the line has {size:,} bytes and is not read. Allowed: at most "
        "33,554,432 bytes a line. Write a long data list as several lines."
    ]
    assert [place.line for place in visited] == [1, 3]
    assert (scanned.lines, scanned.examples, scanned.bytes) == (3, 3, file.stat().st_size)


def test_null_character_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(b'{"input_text": "a\\u0000b", "output_text": "c"}\n')
    findings = Findings(20)
    scanned = scan(str(file), PUBLISHED_TEXT, findings, lambda place, row: None)
    assert scanned.good_examples == 1
    assert [str(problem) for problem in list_problems(findings, Severity.WARNING)] == [
        "train.jsonl line 1, input_text: the text has the character U+0000 at position 2. It is "
        "kept as it is; text from a binary file was probably read."
    ]
