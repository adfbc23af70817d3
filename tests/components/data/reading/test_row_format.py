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
from kfp_llm_tuning.components.data.reading.row_format import detect_format, find_format
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.models.model_references import resolve

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


ROWS = {
    "text": b'{"input_text": "a", "output_text": "b"}\n',
    "chat": b'{"messages": [{"author": "user", "content": "a"}]}\n',
    "openai": b'{"messages": [{"role": "user", "content": "a"}]}\n',
    "alpaca": b'{"instruction": "a", "output": "b"}\n',
    "plain": b'{"prompt": "a", "completion": "b"}\n',
    "conversational": b'{"prompt": [], "completion": []}\n',
    "empty messages, then OpenAI": b'{"messages": []}\n{"messages": [{"role": "user"}]}\n',
}
CHAT, TEXT = RowFormat.CHAT, RowFormat.TEXT


@pytest.mark.parametrize(
    ("rows", "model", "given", "title", "kind"),
    [
        ("text", "byte-tiny", "", "published text", TEXT),
        ("chat", "byte-tiny", "", "published chat", CHAT),
        ("openai", "byte-tiny", "", "OpenAI chat", CHAT),
        ("empty messages, then OpenAI", "byte-tiny", "", "OpenAI chat", CHAT),
        ("alpaca", "byte-tiny", "", "Alpaca", CHAT),
        ("plain", "byte-tiny", "", "prompt/completion", TEXT),
        ("conversational", "byte-tiny", "", "conversational prompt/completion", CHAT),
        ("openai", "text-bison@001", "", "published text", TEXT),
        ("openai", "chat-bison@001", "", "published chat", CHAT),
        ("openai", "chat-bison@001", "openai", "OpenAI chat", CHAT),
        ("alpaca", "text-bison@001", "alpaca", "Alpaca", TEXT),
        ("plain", "chat-bison@001", "prompt-completion", "conversational prompt/completion", CHAT),
        ("openai", "byte-tiny", "gemini", "Gemini contents", CHAT),
        ("chat", "byte-tiny", "published", "published chat", CHAT),
        ("openai", "byte-tiny", "prompt-completion", "prompt/completion", TEXT),
    ],
)
def test_closed_names_keep_the_published_rows_and_open_models_take_all(
    rows: str, model: str, given: str, title: str, kind: RowFormat, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(ROWS[rows])
    found = find_format(str(file), resolve(model), given)
    assert (found.title, found.row_format) == (title, kind)
