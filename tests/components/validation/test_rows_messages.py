"""Every kind of broken row, each with the exact message that a user reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.reading.findings import Findings, Severity, list_problems
from kfp_llm_tuning.components.data.reading.limits import MAXIMUM_LINE_BYTES
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.sources.containers import READ

GOOD = {
    PUBLISHED_TEXT: b'{"input_text": "in", "output_text": "out"}',
    PUBLISHED_CHAT: b'{"messages": [{"author": "user", "content": "in"}, '
    b'{"author": "assistant", "content": "out"}]}',
}
TEXT_FORM = 'Allowed: {"input_text": "...", "output_text": "..."}.'
CHAT_FORM = (
    'Allowed: {"messages": [{"author": "user", "content": "..."}, '
    '{"author": "assistant", "content": "..."}]}.'
)
TURNS = "Allowed: user and assistant in turn, the user first, the assistant last."
PYTHON = "This looks like a Python literal: write it with json.dumps()."


def messages(*pairs: tuple[object, object]) -> bytes:
    """Writes a conversation."""
    turns = [{"author": author, "content": content} for author, content in pairs]
    return json.dumps({"messages": turns}).encode()


# Line, then every message without the file's name and line.
BROKEN_TEXT = {
    "array": (
        b"[1, 2]",
        [f": the row is a list of 2. {TEXT_FORM} Write every example on a line of its own."],
    ),
    "empty array": (b"[]", [f": the row is an empty list. {TEXT_FORM}"]),
    "string": (b'"abc"', [f': the row is a text ("abc"). {TEXT_FORM}']),
    "number": (b"12", [f": the row is a number (12). {TEXT_FORM}"]),
    "null": (b"null", [f": the row is null. {TEXT_FORM}"]),
    "boolean": (b"true", [f": the row is true. {TEXT_FORM}"]),
    "empty object": (
        b"{}",
        [
            ", input_text: input_text is missing.",
            ", output_text: output_text is missing.",
        ],
    ),
    "field missing": (
        b'{"input_text": "a"}',
        [', output_text: output_text is missing. The fields are "input_text".'],
    ),
    "camel case": (
        b'{"inputText": "a", "output_text": "b"}',
        [
            ", input_text: input_text is missing. "
            'Did you mean input_text where the row has "inputText"?'
        ],
    ),
    "misspelt": (
        b'{"input_text": "a", "outptu_text": "b"}',
        [
            ", output_text: output_text is missing. "
            'Did you mean output_text where the row has "outptu_text"?'
        ],
    ),
    "prompt and completion": (
        b'{"prompt": "a", "completion": "b"}',
        [
            f": the row is prompt/completion where the file is published text. {TEXT_FORM} "
            "Write every row in one format."
        ],
    ),
    "unlike names": (
        b'{"x1": "a", "x2": "b", "output_text": "c"}',
        [', input_text: input_text is missing. The fields are "x1", "x2", "output_text".'],
    ),
    "number in field": (
        b'{"input_text": "a", "output_text": 5}',
        [", output_text: output_text is a number (5). Allowed: text."],
    ),
    "null in field": (
        b'{"input_text": null, "output_text": "b"}',
        [", input_text: input_text is null. Allowed: text."],
    ),
    "boolean in field": (
        b'{"input_text": "a", "output_text": false}',
        [", output_text: output_text is false. Allowed: text."],
    ),
    "list in field": (
        b'{"input_text": ["a"], "output_text": "b"}',
        [", input_text: input_text is a list of 1. Allowed: text."],
    ),
    "object in field": (
        b'{"input_text": "a", "output_text": {"text": "b"}}',
        [", output_text: output_text is an object. Allowed: text."],
    ),
    "empty input": (
        b'{"input_text": "", "output_text": "b"}',
        [", input_text: input_text is empty. Allowed: text."],
    ),
    "empty output": (
        b'{"input_text": "a", "output_text": ""}',
        [", output_text: output_text is empty. Allowed: text."],
    ),
    "repeated field": (
        b'{"input_text": "a", "input_text": "b", "output_text": "c"}',
        [", input_text: input_text stands 2 times in one object. Allowed: once."],
    ),
    "repeated by an escape": (
        b'{"input_text": "a", "input\\u005ftext": "b", "output_text": "c"}',
        [", input_text: input_text stands 2 times in one object. Allowed: once."],
    ),
    "chat row": (
        GOOD[PUBLISHED_CHAT],
        [
            f": a chat row stands where text rows are expected. {TEXT_FORM} Name a chat model in "
            "large_model_reference, or write every row in one format."
        ],
    ),
    "not UTF-8": (
        b'{"input_text": "caf\xe9", "output_text": "b"}',
        [": byte 0xe9 at position 20 is not UTF-8. Save the file as UTF-8."],
    ),
    "not UTF-8 in another field": (
        b'{"input_text": "a", "output_text": "b", "note": "\xff"}',
        [": byte 0xff at position 50 is not UTF-8. Save the file as UTF-8."],
    ),
    "byte order mark inside": (
        b'\xef\xbb\xbf{"input_text": "a", "output_text": "b"}',
        [
            ": a byte order mark stands inside the file. "
            "Files were joined with their marks: remove the bytes EF BB BF."
        ],
    ),
    "NaN": (
        b'{"input_text": NaN, "output_text": "b"}',
        [": NaN is not JSON. Allowed: finite numbers, or null."],
    ),
    "-Infinity in another field": (
        b'{"input_text": "a", "output_text": "b", "score": -Infinity}',
        [": -Infinity is not JSON. Allowed: finite numbers, or null."],
    ),
    "half a surrogate pair": (
        b'{"input_text": "a \\ud83d", "output_text": "b"}',
        [
            ": an escape \\ud800-\\udfff stands without its other half. Allowed: a pair such as "
            "\\ud83d\\ude00, or the character itself. "
            "A text was probably cut in the middle of an emoji."
        ],
    ),
    "cut off in a string": (
        b'{"input_text": "a", "output_te',
        [
            ": not valid JSON: the line ends within a value at byte 30, near "
            '`ut_text": "a", "output_te`. The object must begin and end on one line.'
        ],
    ),
    "cut off object": (
        b'{"input_text": "a"',
        [
            ": not valid JSON: the line ends within a value at byte 18, near "
            '`{"input_text": "a"`. The object must begin and end on one line.'
        ],
    ),
    "two objects": (
        b'{"input_text": "a", "output_text": "b"} {"input_text": "c", "output_text": "d"}',
        [
            ": not valid JSON: trailing characters at byte 41, near "
            '`a", "output_text": "b"} {"input_text": "c", "out`. Write one object a line.'
        ],
    ),
    "comma after the object": (
        b'{"input_text": "a", "output_text": "b"},',
        [
            ": not valid JSON: trailing characters at byte 40, near "
            '`"a", "output_text": "b"},`. Remove the comma at the line\'s end.'
        ],
    ),
    "single quotes": (
        b"{'input_text': 'a', 'output_text': 'b'}",
        [f": not valid JSON: expected '\"' at byte 2, near `{{'input_text': 'a', 'outp`. {PYTHON}"],
    ),
    "Python None": (
        b'{"input_text": None, "output_text": "b"}',
        [
            ": not valid JSON: invalid character at byte 16, near "
            f'`{{"input_text": None, "output_text": "b"`. {PYTHON}'
        ],
    ),
    "trailing comma": (
        b'{"input_text": "a", "output_text": "b",}',
        [
            ": not valid JSON: trailing comma in object at byte 40, near "
            '`"a", "output_text": "b",}`.'
        ],
    ),
    "missing comma": (
        b'{"input_text": "a" "output_text": "b"}',
        [
            ": not valid JSON: expected ',' or '}' at byte 20, near "
            '`{"input_text": "a" "output_text": "b"}`.'
        ],
    ),
    "plain text": (
        b"hello world",
        [
            ": not valid JSON: invalid character at byte 1, near `hello world`. "
            "Write one JSON object a line."
        ],
    ),
    "raw control character": (
        b'{"input_text": "a\x01", "output_text": "b"}',
        [
            ": not valid JSON: invalid character at byte 18, near "
            '`{"input_text": "a\\u0001", "output_text": "b"}`.'
        ],
    ),
    "raw NUL": (
        b'{"input_text": "a\x00", "output_text": "b"}',
        [
            ": not valid JSON: invalid character at byte 18, near "
            '`{"input_text": "a\\u0000", "output_text": "b"}`.'
        ],
    ),
    "unknown escape": (
        b'{"input_text": "\\x41", "output_text": "b"}',
        [
            ": not valid JSON: invalid escaped character at byte 18, near "
            '`{"input_text": "\\x41", "output_text": "b"`.'
        ],
    ),
    "leading zero": (
        b'{"input_text": 01, "output_text": "b"}',
        [
            ": not valid JSON: invalid number at byte 17, near "
            '`{"input_text": 01, "output_text": "b"}`.'
        ],
    ),
    "deep nesting": (
        b'{"input_text": "a", "output_text": "b", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        [": the JSON is nested too deeply to be read."],
    ),
    "data is no list": (
        b'{"data": {"input_text": "a", "output_text": "b"}}',
        [", data: data is an object. Allowed: a list of examples."],
    ),
    "data is empty": (b'{"data": []}', [", data: data is empty. Allowed: a list of examples."]),
    "data twice": (
        b'{"data": [], "data": [{"input_text": "a", "output_text": "b"}]}',
        [", data: data stands 2 times in one object. Allowed: once."],
    ),
    "wrong entries of data": (
        b'{"data": [{"input_text": "a", "output_text": "b"}, 7, {"input_text": "a"}]}',
        [
            f", data[1]: the row is a number (7). {TEXT_FORM}",
            ', data[2].output_text: output_text is missing. The fields are "input_text".',
        ],
    ),
}
BROKEN_CHAT = {
    "text row": (
        GOOD[PUBLISHED_TEXT],
        [
            f": a text row stands where chat rows are expected. {CHAT_FORM} Name a text model in "
            "large_model_reference, or write every row in one format."
        ],
    ),
    "no messages": (
        b'{"context": "c"}',
        [', messages: messages is missing. The fields are "context".'],
    ),
    "Gemini contents": (
        b'{"contents": [{"role": "user", "parts": [{"text": "a"}]}]}',
        [
            f": the row is Gemini contents where the file is published chat. {CHAT_FORM} "
            "Write every row in one format."
        ],
    ),
    "messages is text": (
        b'{"messages": "hi"}',
        [
            ', messages: messages is a text ("hi"). '
            "Allowed: a list of messages, each with author and content."
        ],
    ),
    "messages is empty": (b'{"messages": []}', [f", messages: messages is empty. {TURNS}"]),
    "message is text": (
        b'{"messages": ["hi"]}',
        [
            ', messages[0]: is a text ("hi"). Allowed: an object with author and content.',
        ],
    ),
    "role for author": (
        b'{"messages": [{"role": "user", "content": "a"}, '
        b'{"author": "assistant", "content": "b"}]}',
        [', messages[0].author: author is missing. Did you mean author where the row has "role"?'],
    ),
    "text for content": (
        b'{"messages": [{"author": "user", "text": "a"}, {"author": "assistant", "content": "b"}]}',
        [
            ", messages[0].content: content is missing. "
            'Did you mean content where the row has "text"?'
        ],
    ),
    "unknown author": (
        messages(("user", "a"), ("narrator", "b")),
        [', messages[1].author: the author is "narrator". Allowed: user, assistant.'],
    ),
    "bot": (
        messages(("user", "a"), ("bot", "b")),
        [
            ', messages[1].author: the author is "bot". Allowed: user, assistant. '
            "Did you mean assistant?"
        ],
    ),
    "capital author": (
        messages(("User", "a"), ("assistant", "b")),
        [
            ', messages[0].author: the author is "User". Allowed: user, assistant. '
            "Did you mean user?"
        ],
    ),
    "system message": (
        messages(("system", "s"), ("user", "a"), ("assistant", "b")),
        [
            ', messages[0].author: the author is "system". Allowed: user, assistant. '
            "Put what it says into the row's context."
        ],
    ),
    "empty author": (
        messages(("", "a"), ("assistant", "b")),
        [", messages[0].author: author is empty. Allowed: text."],
    ),
    "author is a number": (
        messages((1, "a"), ("assistant", "b")),
        [", messages[0].author: author is a number (1). Allowed: text."],
    ),
    "content is null": (
        messages(("user", "a"), ("assistant", None)),
        [", messages[1].content: content is null. Allowed: text."],
    ),
    "empty content": (
        messages(("user", "a"), ("assistant", "")),
        [", messages[1].content: content is empty. Allowed: text."],
    ),
    "assistant first": (
        messages(("assistant", "a"), ("user", "b")),
        [", messages[0].author: the message is the assistant's where the user's is due. " + TURNS],
    ),
    "user twice": (
        messages(("user", "a"), ("user", "b"), ("assistant", "c")),
        [", messages[1].author: the message is the user's where the assistant's is due. " + TURNS],
    ),
    "ends with the user": (
        messages(("user", "a"), ("assistant", "b"), ("user", "c")),
        [
            f", messages: the conversation ends with the user's message. {TURNS} "
            "Add the answer to learn."
        ],
    ),
    "context is null": (
        b'{"context": null, ' + GOOD[PUBLISHED_CHAT][1:],
        [", context: context is null. Allowed: text. Leave context out where there is none."],
    ),
    "context twice": (
        b'{"context": "a", "context": "b", ' + GOOD[PUBLISHED_CHAT][1:],
        [", context: context stands 2 times in one object. Allowed: once."],
    ),
    "author twice": (
        b'{"messages": [{"author": "assistant", "author": "user", "content": "a"}, '
        b'{"author": "assistant", "content": "b"}]}',
        [", messages[0].author: author stands 2 times in one object. Allowed: once."],
    ),
    "several mistakes in one row": (
        b'{"context": 1, "messages": [{"author": "user", "content": ""}, {"author": "model"}]}',
        [
            ", context: context is a number (1). Allowed: text. "
            "Leave context out where there is none.",
            ", messages[0].content: content is empty. Allowed: text.",
            ', messages[1].author: the author is "model". Allowed: user, assistant. '
            "Did you mean assistant?",
            ', messages[1].content: content is missing. The fields are "author".',
        ],
    ),
    "wrong message within data": (
        b'{"data": [' + messages(("user", "a"), ("user", "b")) + b"]}",
        [
            ", data[0].messages[1].author: the message is the user's where the assistant's is "
            f"due. {TURNS}"
        ],
    ),
}
CASES = [
    pytest.param(row_format, *case, id=f"{row_format.title}: {name}")
    for row_format, cases in ((PUBLISHED_TEXT, BROKEN_TEXT), (PUBLISHED_CHAT, BROKEN_CHAT))
    for name, case in cases.items()
]


def test_there_are_enough_kinds_of_broken_rows() -> None:
    assert len(CASES) >= 60
    kinds = {tuple(case.values[2]) for case in CASES}  # type: ignore[arg-type]
    assert len(kinds) >= 55


@pytest.mark.parametrize(("row_format", "line", "expected"), CASES)
def test_broken_row_has_its_exact_message(
    row_format: Format, line: bytes, expected: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "train.jsonl"
    good = GOOD[row_format]
    file.write_bytes(good + b"\n" + line + b"\n" + good + b"\n")
    findings = Findings(20)
    visited = []
    scanned = scan(str(file), row_format, findings, lambda place, row: visited.append(place.line))
    shown = [str(problem) for problem in list_problems(findings)]
    assert shown == [f"train.jsonl line 2{message}" for message in expected]
    assert {visited[0], visited[-1]} == {1, 3}, "the good rows around it are still read"
    assert scanned.lines == 3


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
