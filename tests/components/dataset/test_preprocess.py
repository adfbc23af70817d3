from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import resource
from pathlib import Path

import msgspec
import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.artifacts import (
    RECORDS_FILE,
    Record,
    read_records,
    read_records_info,
)
from kfp_llm_tuning.components.dataset.preprocess import (
    Source,
    preprocess_dataset,
    write_no_records,
)
from kfp_llm_tuning.components.dataset.stages import preprocess_for_model

ROW = {"input_text": "2 + 2 =", "output_text": "4"}
CHAT = {
    "messages": [
        {"author": "user", "content": "hi"},
        {"author": "assistant", "content": "hello"},
        {"author": "user", "content": "bye"},
        {"author": "assistant", "content": "so long"},
    ]
}


@pytest.fixture
def preprocess(byte_tokenizer, tmp_path):
    """Preprocesses a file given by its bytes; returns info and records."""

    def run(data: bytes, name="rows.jsonl", default_context="", tokenizer=byte_tokenizer):
        path = tmp_path / name
        path.write_bytes(data)
        source = Source(str(path), "byte-tiny", default_context)
        info = preprocess_dataset(source, tokenizer, tmp_path / "records")
        assert read_records_info(tmp_path / "records") == info
        return info, list(read_records(tmp_path / "records"))

    return run


def lines(*rows: dict[str, object]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_text_rows(preprocess):
    data = lines(ROW, {**ROW, "output_text": "four", "note": "ignored"})
    info, records = preprocess(data)
    question = (0, len("2 + 2 ="))
    assert records == [
        Record("2 + 2 =\n", "4", 1, 0, None, question),
        Record("2 + 2 =\n", "four", 2, 0, None, question),
    ]
    assert (info.prompt_format, info.examples, info.conversations) == ("plain", 2, 0)
    assert info.source_sha256 == hashlib.sha256(data).hexdigest()
    assert info.source_bytes == len(data)
    assert info.model_reference == "byte-tiny"


def test_lines_of_the_data_form_are_told_apart_by_turn(preprocess):
    _, records = preprocess(lines(ROW, {"data": [ROW, {**ROW, "output_text": "four"}]}, ROW))
    keys = [(record.line, record.turn, record.completion) for record in records]
    assert keys == [(1, 0, "4"), (2, 0, "4"), (2, 1, "four"), (3, 0, "4")]


def test_a_field_named_data_beside_the_text_is_ignored(preprocess):
    _, records = preprocess(lines({**ROW, "data": 5}))
    assert len(records) == 1


def test_byte_order_mark_line_ends_blank_lines_and_a_last_line_without_one(preprocess):
    row = json.dumps(ROW).encode()
    data = b"\xef\xbb\xbf" + row + b"\r\n\r\n  \n" + row
    info, records = preprocess(data)
    assert [record.line for record in records] == [1, 4]
    assert info.source_sha256 == hashlib.sha256(data).hexdigest()


def test_compressed_file_has_the_digest_of_its_content(preprocess):
    data = lines(ROW)
    info, records = preprocess(gzip.compress(data), "rows.jsonl.gz")
    assert len(records) == 1
    assert info.source_sha256 == hashlib.sha256(data).hexdigest()
    assert info.source_bytes == len(data)


def test_damaged_compressed_file(preprocess):
    with pytest.raises(UserError, match="cut off|breaks off|damaged"):
        preprocess(gzip.compress(lines(ROW) * 1000)[:-20], "rows.jsonl.gz")


def test_one_record_for_each_answer_with_the_whole_history(preprocess):
    info, records = preprocess(lines(CHAT, {**CHAT, "context": "Be kind."}))
    first = "user:\nhi\nassistant:\n"
    second = first + "hello\nuser:\nbye\nassistant:\n"
    head = len("Be kind.\n\n")
    assert [msgspec.structs.replace(record, question=None) for record in records] == [
        Record(first, "hello", 1, 0, 0),
        Record(second, "so long", 1, 1, 0),
        Record("Be kind.\n\n" + first, "hello", 2, 0, head),
        Record("Be kind.\n\n" + second, "so long", 2, 1, head),
    ]
    assert [record.question_text for record in records] == ["hi", "bye"] * 2
    assert (info.examples, info.conversations) == (4, 2)


def test_a_conversations_own_context_overrides_the_default(preprocess):
    rows = lines(CHAT, {**CHAT, "context": "Own."}, {**CHAT, "context": ""})
    info, records = preprocess(rows, default_context="Default.")
    starts = [record.prompt.split("user:")[0] for record in records if record.turn == 0]
    assert starts == ["Default.\n\n", "Own.\n\n", ""]
    assert info.default_context == "Default."


def test_chat_template_is_used_where_there_is_one(preprocess, chat_tokenizers):
    info, records = preprocess(lines(ROW), tokenizer=chat_tokenizers["chatml"])
    assert info.prompt_format == "chat_template"
    prompt = "<|im_start|>user\n2 + 2 =<|im_end|>\n<|im_start|>assistant\n"
    start = prompt.index("2 + 2 =")
    assert records == [Record(prompt, "4", 1, 0, None, (start, start + len("2 + 2 =")))]


def test_default_context_with_text_is_refused(preprocess):
    with pytest.raises(UserError, match="default_context"):
        preprocess(lines(ROW), default_context="Be kind.")


def test_no_set_leaves_no_records(tmp_path):
    info = write_no_records("byte-tiny", tmp_path)
    assert info.examples == 0
    assert (tmp_path / RECORDS_FILE).read_bytes() == b""
    assert read_records_info(tmp_path) == info


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_file_without_examples(preprocess, data):
    with pytest.raises(UserError, match="no examples"):
        preprocess(data)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"{", "line 2"),
        (b'{"input_text": "a\xff", "output_text": "b"}', "UTF-8"),
        (b'{"input_text": NaN, "output_text": "b"}', "line 2"),
        (b"[1]", "line 2"),
        (b'{"input_text": "a"}', "output_text"),
        (b'{"input_text": 1, "output_text": "b"}', "input_text"),
        (b'{"input_text": "a", "output_text": ""}', "output_text"),
        (b'{"data": [{"input_text": "a", "output_text": "b"}, 5]}', r"data\[1\]"),
        (b'{"data": "text"}', "data"),
    ],
)
def test_bad_text_row_is_told_with_its_line(preprocess, row, message):
    with pytest.raises(UserError, match=message) as caught:
        preprocess(lines(ROW) + row + b"\n" + lines(ROW))
    assert len(caught.value.problems) == 1
    assert "line 2" in caught.value.problems[0].where


def chat(*authors: str) -> dict[str, object]:
    return {"messages": [{"author": author, "content": "text"} for author in authors]}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (chat(), "messages"),
        (chat("user"), "messages"),
        (chat("assistant", "user"), r"messages\[0\].author"),
        (chat("user", "user"), r"messages\[1\].author"),
        (chat("user", "bot"), r"messages\[1\].author"),
        (chat("user", "assistant", "user"), "messages"),
        ({"messages": "text"}, "messages"),
        ({**CHAT, "context": 5}, "context"),
        (ROW, "messages|chat"),
        ({"messages": [{"author": "user", "content": "a"}, {"author": "assistant"}]}, "content"),
    ],
)
def test_bad_conversation_is_told_with_its_line_and_field(preprocess, row, field):
    with pytest.raises(UserError, match=field) as caught:
        preprocess(lines(CHAT, row))
    assert "line 2" in caught.value.problems[0].where


def test_every_bad_row_is_counted_and_the_first_are_listed(preprocess):
    with pytest.raises(UserError) as caught:
        preprocess(lines(ROW) + b"{}\n" * 1000)
    assert [(problem.where, problem.what) for problem in caught.value.problems] == [
        ("rows.jsonl line 2 and 999 more lines, input_text", "input_text is missing."),
        ("rows.jsonl line 2 and 999 more lines, output_text", "output_text is missing."),
    ]


def test_memory_stays_flat(preprocess, byte_tokenizer, tmp_path):
    """Forty times the rows take no more memory."""
    row = lines({"input_text": "x" * 1000, "output_text": "y" * 1000})
    path = tmp_path / "rows.jsonl"

    def peak(count: int) -> int:
        with path.open("wb") as stream:
            stream.writelines(itertools.repeat(row, count))
        preprocess_dataset(Source(str(path), "byte-tiny"), byte_tokenizer, tmp_path / "records")
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = peak(500)
    assert peak(20_000) - before < 10_000, "KiB"


def test_real_conversations(shared_data: Path, byte_tokenizer, tmp_path):
    path = shared_data / "sgd" / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    source = Source(str(path), "byte-tiny", "Default.")
    info = preprocess_dataset(source, byte_tokenizer, tmp_path)
    records = list(read_records(tmp_path))
    assert info.conversations == len(rows) == 384
    assert len(records) == info.examples == sum(len(row["messages"]) // 2 for row in rows)
    for record in records:
        row = rows[record.line - 1]
        assert record.completion == row["messages"][2 * record.turn + 1]["content"]
        assert record.prompt[: record.head] == row.get("context", "Default.") + "\n\n"
        assert record.prompt.count("assistant:\n") >= record.turn + 1


def test_two_tasks_share_a_training_set(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    rows = [{"input_text": f"{n * 7919} {n * 104729}", "output_text": str(n)} for n in range(60)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for folder, uri, held_out_from in (("training", str(file), ""), ("evaluation", "", str(file))):
        preprocess_for_model(
            uri, str(tmp_path / folder), "byte-tiny", "", held_out_from, 0.25, seed=3
        )
    lines = [
        {record.line for record in read_records(tmp_path / folder)}
        for folder in ("training", "evaluation")
    ]
    assert lines[0] | lines[1] == set(range(1, 61))
    assert (len(lines[0]), len(lines[1])) == (45, 15)
