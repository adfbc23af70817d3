from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.train_on import TrainOn
from kfp_llm_tuning.components.data.artifacts import (
    RECORDS_FILE,
    Record,
    RecordsInfo,
    load_sequences,
    read_encoding,
    read_records,
    write_records_info,
)
from kfp_llm_tuning.components.data.encoded_set import EncodedSet, SequencePart
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.dataset.encode import Limits, encode_dataset, encode_nothing
from kfp_llm_tuning.components.dataset.preprocess import Source, preprocess_dataset
from kfp_llm_tuning.components.models import byte_tiny
from tests.components.chat_tokenizers import TEMPLATES
from tests.components.small_models import assert_learned_alike, small_model

TOKENIZER = byte_tiny.build_tokenizer()
BOS, EOS = TOKENIZER.bos_token_id, TOKENIZER.eos_token_id
WIDE = Limits(8192, 1024)


def write_records(folder: Path, records: list[Record], tokenizer=TOKENIZER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    data = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
    (folder / RECORDS_FILE).write_bytes(data)
    formatter = prompt_formatter(tokenizer)
    info = RecordsInfo(
        "byte-tiny",
        formatter.prompt_format,
        formatter.template_sha256,
        examples=len(records),
        source_uri="rows.jsonl",
        source_sha256="digest",
        source_bytes=7,
    )
    write_records_info(folder, info)
    return folder


def decode(ids: list[int]) -> str:
    return TOKENIZER.decode(ids, clean_up_tokenization_spaces=False)


def test_examples_are_prompt_completion_and_end(tmp_path):
    records = write_records(
        tmp_path / "records", [Record("a\n", "bc", 1), Record("d\n", "ef", 3, 2)]
    )
    encoding = encode_dataset(records, TOKENIZER, WIDE, tmp_path / "encoded")
    rows = load_sequences(tmp_path / "encoded").to_list()
    assert [decode(row["input_ids"]) for row in rows] == ["<bos>a\nbc<eos>", "<bos>d\nef<eos>"]
    assert [row["starts"] for row in rows] == [[3], [3]]
    assert [(row["stops"], row["ends"]) for row in rows] == [([6], [EOS])] * 2
    assert [(row["line"], row["turns"]) for row in rows] == [(1, [0]), (3, [2])]
    assert read_encoding(tmp_path / "encoded") == encoding
    assert (encoding.examples, encoding.tokens, encoding.label_tokens) == (2, 12, 6)
    assert (encoding.longest, encoding.stop_token_ids) == (6, [EOS])
    assert (encoding.source_uri, encoding.source_sha256) == ("rows.jsonl", "digest")
    assert (encoding.source_bytes, encoding.prompt_format) == (7, "plain")
    assert (encoding.max_input_tokens, encoding.max_output_tokens) == (8192, 1024)


def test_data_is_memory_mapped_and_small(tmp_path):
    records = write_records(tmp_path / "records", [Record("a\n", "b", 1)])
    encode_dataset(records, TOKENIZER, WIDE, tmp_path / "encoded")
    examples = load_sequences(tmp_path / "encoded")
    assert [Path(entry["filename"]).parent for entry in examples.cache_files] == [
        tmp_path / "encoded"
    ]
    assert str(examples.features["input_ids"].feature.dtype) == "int32"


short_text = st.text(max_size=12).filter(lambda text: "<" not in text)


@settings(max_examples=20)
@given(
    st.lists(st.tuples(short_text, short_text.filter(bool)), min_size=1, max_size=6),
    st.integers(2, 24),
    st.integers(1, 12),
)
def test_labels_cover_completion_and_end_and_cuts_are_counted(pairs, inputs, outputs):
    with tempfile.TemporaryDirectory() as scratch:
        texts = [
            Record(f"{prompt}\n", completion, line)
            for line, (prompt, completion) in enumerate(pairs, start=1)
        ]
        records = write_records(Path(scratch, "records"), texts)
        encoding = encode_dataset(records, TOKENIZER, Limits(inputs, outputs), Path(scratch, "e"))
        rows = load_sequences(Path(scratch, "e")).to_list()
    cut_inputs = [text.line for text in texts if 1 + len(text.prompt.encode()) > inputs]
    cut_outputs = [text.line for text in texts if len(text.completion.encode()) > outputs]
    assert encoding.truncated_input_lines == cut_inputs
    assert encoding.truncated_output_lines == cut_outputs
    assert encoding.truncated_inputs == len(cut_inputs)
    assert encoding.truncated_outputs == len(cut_outputs)
    for text, row in zip(texts, rows, strict=True):
        completion = TOKENIZER(text.completion, add_special_tokens=False)["input_ids"]
        [start] = row["starts"]
        labels = row["input_ids"][start:]
        cut = text.line in cut_outputs
        assert labels == (completion[:outputs] if cut else [*completion, EOS])
        assert start == min(1 + len(text.prompt.encode()), inputs)
    assert encoding.tokens == sum(len(row["input_ids"]) for row in rows)
    assert encoding.label_tokens == encoding.tokens - sum(row["starts"][0] for row in rows)
    assert encoding.longest == max(len(row["input_ids"]) for row in rows)


def test_cuts_are_logged_with_their_lines(tmp_path, caplog):
    texts = [Record("long prompt\n", "fine", line) for line in range(1, 15)]
    records = write_records(tmp_path / "records", texts)
    with caplog.at_level(logging.WARNING):
        encode_dataset(records, TOKENIZER, Limits(5, 10), tmp_path / "encoded")
    message = "rows.jsonl: inputs cut to 5 tokens: 14 (lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...)."
    assert caplog.messages == [message]


def test_small_sets_stay_usable(tmp_path):
    texts = [Record(f"{number}\n", "x", number) for number in range(1, 11)]
    records = write_records(tmp_path / "records", texts)
    assert encode_dataset(records, TOKENIZER, WIDE, tmp_path / "encoded").examples == 10
    assert len(load_sequences(tmp_path / "encoded")) == 10


def test_more_records_than_one_batch(tmp_path):
    texts = [Record(f"{number}\n", str(number), number) for number in range(1, 2501)]
    records = write_records(tmp_path / "records", texts)
    encode_dataset(records, TOKENIZER, WIDE, tmp_path / "encoded")
    examples = load_sequences(tmp_path / "encoded")
    assert examples["line"][:] == list(range(1, 2501))
    assert decode(examples[2499]["input_ids"]) == "<bos>2500\n2500<eos>"


def test_no_set_leaves_only_the_facts(tmp_path):
    encoding = encode_nothing(WIDE, tmp_path / "encoded")
    assert encoding.examples == encoding.tokens == 0
    assert read_encoding(tmp_path / "encoded") == encoding
    assert [path.name for path in (tmp_path / "encoded").iterdir()] == ["encoding.json"]


def test_nothing_to_learn_is_an_error_that_says_why(tmp_path):
    records = write_records(tmp_path / "records", [Record("a\n", "", 1), Record("b\n", "", 4)])
    with pytest.raises(UserError, match=r"nothing is left to learn.*empty.*2 \(lines 1, 4\)"):
        encode_dataset(records, TOKENIZER, WIDE, tmp_path / "encoded")


def test_blank_answers_that_a_template_strips_are_left_out_and_listed(
    chat_tokenizers, tmp_path, write_rows
):
    rows = [
        {"input_text": "the weather", "output_text": answer} for answer in ("fine", "  ", "good")
    ]
    tokenizer = chat_tokenizers["llama-3"]
    preprocess_dataset(Source(write_rows(rows), "byte-tiny"), tokenizer, tmp_path / "records")
    encoding = encode_dataset(tmp_path / "records", tokenizer, WIDE, tmp_path / "encoded")
    assert encoding.examples == 2
    assert (encoding.empty_outputs, encoding.empty_output_lines) == (1, [2])
    assert load_sequences(tmp_path / "encoded")["line"][:] == [1, 3]


def test_records_of_another_format_are_refused(chat_tokenizers, tmp_path):
    records = write_records(tmp_path / "records", [Record("a\n", "b", 1)])
    with pytest.raises(UserError, match=r"have the format plain.*done for byte-tiny"):
        encode_dataset(records, chat_tokenizers["qwen"], WIDE, tmp_path / "encoded")


def test_records_of_another_template_are_refused(chat_tokenizers, tmp_path):
    gemma, qwen = chat_tokenizers["gemma"], chat_tokenizers["qwen"]
    records = write_records(tmp_path / "records", [Record("a\n", "b", 1)], gemma)
    with pytest.raises(UserError, match="chat template is not the one that wrote the records"):
        encode_dataset(records, qwen, WIDE, tmp_path / "encoded")


def test_content_hash_is_that_of_data_tokenizer_and_limits(tmp_path, chat_tokenizers):
    def content_hash(name, texts, limits=WIDE, tokenizer=TOKENIZER):
        records = write_records(tmp_path / "records", texts, tokenizer)
        return encode_dataset(records, tokenizer, limits, tmp_path / name).content_hash

    texts = [Record("a\n", "b", 1)]
    first = content_hash("first", texts)
    assert content_hash("second", texts) == first
    for name in ("data-00000-of-00001.arrow", "encoding.json", "state.json", "dataset_info.json"):
        again = (tmp_path / "second" / name).read_bytes()
        assert (tmp_path / "first" / name).read_bytes() == again, name
    others = [
        content_hash("third", [Record("a\n", "c", 1)]),
        content_hash("fourth", texts, Limits(8192, 1023)),
        content_hash("fifth", texts, Limits(8191, 1024)),
        content_hash("sixth", texts, WIDE, chat_tokenizers["qwen"]),
        content_hash("seventh", texts, WIDE, chat_tokenizers["gemma"]),
    ]
    assert len({first, *others}) == 6


def test_encoding_again_replaces_the_set(tmp_path):
    for text in ("first", "second"):
        records = write_records(tmp_path / "records", [Record("a\n", text, 1)])
        encode_dataset(records, TOKENIZER, WIDE, tmp_path / "encoded")
    (row,) = load_sequences(tmp_path / "encoded").to_list()
    assert decode(row["input_ids"]) == "<bos>a\nsecond<eos>"


def test_whole_gsm8k_encodes(shared_data, tmp_path):
    source = Source(str(shared_data / "gsm8k" / "train.jsonl"), "byte-tiny")
    preprocess_dataset(source, TOKENIZER, tmp_path / "records")
    encoding = encode_dataset(tmp_path / "records", TOKENIZER, WIDE, tmp_path / "encoded")
    assert encoding.examples == 7473
    assert encoding.truncated_inputs == encoding.truncated_outputs == encoding.empty_outputs == 0
    (last,) = load_sequences(tmp_path / "encoded").select([7472]).to_list()
    prompt = decode(last["input_ids"][: last["starts"][0]])
    assert prompt.startswith("<bos>question: ")
    assert prompt.endswith("?\n")


def test_long_conversations_are_cut_at_their_oldest(shared_data, tmp_path):
    source = Source(str(shared_data / "sgd" / "train_full_dialogues.jsonl"), "byte-tiny")
    preprocess_dataset(source, TOKENIZER, tmp_path / "records")
    limits = Limits(400, 100)
    encoding = encode_dataset(tmp_path / "records", TOKENIZER, limits, tmp_path / "encoded")
    assert encoding.truncated_inputs > 100
    assert encoding.longest <= 400 + 100 + 1
    for row in load_sequences(tmp_path / "encoded").select(range(100)).to_list():
        for start in row["starts"]:
            assert decode(row["input_ids"][:start]).endswith("\nassistant:\n")


DIALOGUES = [
    {
        "messages": [
            {"role": role, "content": f"{role} says {number} of {row}"}
            for number in range(3)
            for role in ("user", "assistant")
        ]
    }
    for row in range(4)
]


@pytest.fixture
def dialogue_records(write_rows, tmp_path):
    def write(tokenizer, **options):
        source = Source(write_rows(DIALOGUES), "byte-tiny", dataset_format="openai", **options)
        preprocess_dataset(source, tokenizer, tmp_path / "records")
        return tmp_path / "records"

    return write


@pytest.mark.parametrize("name", ["plain", *TEMPLATES])
def test_a_conversation_in_one_pass_has_the_tokens_and_labels_of_its_records(
    name, chat_tokenizers, dialogue_records, tmp_path
):
    tokenizer = {**chat_tokenizers, "plain": TOKENIZER}[name]
    records = dialogue_records(tokenizer)
    encoding = encode_dataset(records, tokenizer, WIDE, tmp_path / "encoded")
    one_by_one = [
        msgspec.structs.replace(record, line=number, turn=0)
        for number, record in enumerate(read_records(records))
    ]
    apart = write_records(tmp_path / "apart", one_by_one, tokenizer)
    expected = encode_dataset(apart, tokenizer, WIDE, tmp_path / "encoded apart")
    joined, alone = EncodedSet(tmp_path / "encoded"), EncodedSet(tmp_path / "encoded apart")
    parts = [
        joined.part(SequencePart(row, answer, answer + 1))
        for row in range(len(joined))
        for answer in range(joined.answer_counts[row])
    ]
    assert joined.examples == encoding.examples == len(parts) == len(alone) == 12
    for part, record in zip(parts, map(alone.sequence, range(12)), strict=True):
        assert part.input_ids[:-1].tolist() == record.input_ids[:-1].tolist()
        assert part.positions.tolist() == record.positions.tolist()
        assert part.labels.tolist() == record.labels.tolist()
    assert encoding.tokens_apart == expected.tokens == expected.tokens_apart
    if name not in ("qwen-thinking", "endless"):
        assert (encoding.sequences, encoding.answers_apart) == (4, {})
        assert encoding.tokens < encoding.tokens_apart / 1.5


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "gemma3_text", "mistral"])
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_a_conversation_in_one_pass_has_the_loss_and_gradients_of_its_records(
    kind, lora, dialogue_records, tmp_path
):
    encode_dataset(dialogue_records(TOKENIZER), TOKENIZER, WIDE, tmp_path / "encoded")
    joined = EncodedSet(tmp_path / "encoded")
    shortest = np.argsort(joined.lengths)[:2].tolist()
    assert_learned_alike(small_model(kind, len(TOKENIZER), lora=lora), joined, shortest)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "llama-3", "qwen-thinking"])
@pytest.mark.parametrize(
    "path", ["sgd/train_full_dialogues.jsonl", "gsm8k/train_with_reasoning.jsonl"]
)
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_real_data_is_learned_alike_in_every_layout(
    name, path, lora, chat_tokenizers, shared_data, tmp_path
):
    tokenizer = {**chat_tokenizers, "plain": TOKENIZER}[name]
    preprocess_dataset(Source(str(shared_data / path), "byte-tiny"), tokenizer, tmp_path)
    encode_dataset(tmp_path, tokenizer, WIDE, tmp_path / "encoded")
    model = small_model("llama", len(tokenizer), lora=lora)
    assert_learned_alike(model, EncodedSet(tmp_path / "encoded"), range(6))


def test_what_is_read_apart_is_told_with_its_reason(
    chat_tokenizers, dialogue_records, tmp_path, caplog
):
    tokenizer = chat_tokenizers["qwen-thinking"]
    with caplog.at_level(logging.INFO):
        encoding = encode_dataset(
            dialogue_records(tokenizer), tokenizer, WIDE, tmp_path / "encoded"
        )
    [(why, count)] = encoding.answers_apart.items()
    assert (encoding.sequences, count) == (12, 8)
    assert "in other words" in why
    assert f"read apart, each with its history before it, since {why}: 8 (lines 1, 2, 3, 4)." in (
        caplog.text
    )


def test_the_last_answer_alone_is_learned_where_that_is_asked(dialogue_records, tmp_path):
    records = dialogue_records(TOKENIZER, train_on=TrainOn.LAST)
    encoding = encode_dataset(records, TOKENIZER, WIDE, tmp_path / "encoded")
    assert (encoding.examples, encoding.sequences) == (4, 4)
    encoded = EncodedSet(tmp_path / "encoded")
    assert [decode(encoded.sequence(row).labels.tolist()) for row in range(4)] == [
        f"assistant says 2 of {row}<eos>" for row in range(4)
    ]
