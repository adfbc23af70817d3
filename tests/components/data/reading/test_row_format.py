"""The rows decide between text and chat where the model takes both."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.formats.gemini import GEMINI
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_CHAT, PUBLISHED_TEXT
from kfp_llm_tuning.components.data.formats.registry import UNKNOWN
from kfp_llm_tuning.components.data.formats.sharegpt import SHAREGPT
from kfp_llm_tuning.components.data.reading.lines import CHUNK_BYTES
from kfp_llm_tuning.components.data.reading.row_format import detect_format

NOTHING = b'{"note": "%s"}\n' % (b"x" * 1000)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", UNKNOWN),
        (b'{"input_text": 1}', PUBLISHED_TEXT),
        (b'{"output_text": 1}', PUBLISHED_TEXT),
        (b'{"messages": 1}', PUBLISHED_CHAT),
        (b'{"contents": []}', GEMINI),
        (b'{"conversations": []}', SHAREGPT),
        (b'\xef\xbb\xbf{"messages": []}\r\n', PUBLISHED_CHAT),
        (b'not JSON\n\n[1]\n{"x": 1}\n{"messages": []}\n{"input_text": "a"}\n', PUBLISHED_CHAT),
        (b'{"data": [{"x": 1}, {"messages": []}]}', PUBLISHED_CHAT),
        (b'{"data": 5}\n{"messages": []}\n', PUBLISHED_CHAT),
        (b'{"data": 5, "input_text": "a"}\n{"messages": []}\n', PUBLISHED_TEXT),
        (NOTHING * (2 * CHUNK_BYTES // len(NOTHING)) + b'{"messages": []}\n', PUBLISHED_CHAT),
        (NOTHING * (2 * CHUNK_BYTES // len(NOTHING)), UNKNOWN),
    ],
)
def test_first_telling_row_decides(content: bytes, expected: Format, tmp_path: Path) -> None:
    plain, packed = tmp_path / "rows.jsonl", tmp_path / "rows.jsonl.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    assert detect_format(str(plain)) == detect_format(str(packed)) == expected


def test_no_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file at"):
        detect_format(str(tmp_path / "missing.jsonl"))
