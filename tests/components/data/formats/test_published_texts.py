"""Every kind of broken text, each with the exact message that a user reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from tests.components.data.formats.published_rows import GOOD, BrokenRows, check_broken_row

TEXT_FORM = 'Allowed: {"input_text": "...", "output_text": "..."}.'
PYTHON = "This looks like a Python literal: write it with json.dumps()."
BROKEN: BrokenRows = {
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


def test_the_kinds_of_broken_rows_are_told_apart() -> None:
    kinds = {tuple(expected) for _, expected in BROKEN.values()}
    assert len(kinds) >= 38


@pytest.mark.parametrize(("line", "expected"), BROKEN.values(), ids=BROKEN)
def test_broken_row_has_its_exact_message(line: bytes, expected: list[str], tmp_path: Path) -> None:
    check_broken_row(PUBLISHED_TEXT, line, expected, tmp_path)
