"""From rows to records: a JSONL dataset becomes prompts and completions."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import open_input
from kfp_llm_tuning.components.dataset.artifacts import (
    RECORDS_FILE,
    Record,
    RecordsInfo,
    write_records_info,
)
from kfp_llm_tuning.components.dataset.prompts import PromptFormatter, prompt_formatter
from kfp_llm_tuning.components.dataset.rows import ChatRow, RowReader, TextRow

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A dataset and how it is read.

    Attributes:
        uri: The JSONL file, plain or .gz.
        model_reference: The model whose prompts are written.
        default_context: Context of conversations that have none of their own.
    """

    uri: str
    model_reference: str
    default_context: str = ""


def preprocess_dataset(
    source: Source, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> RecordsInfo:
    """Writes records.jsonl and info.json, row by row in flat memory.

    A text row gives one record, a conversation one for each assistant message, with the whole
    history before it.

    Args:
        source: What to read.
        tokenizer: The model's tokenizer; its chat template is used where it has one.
        folder: Where the records go; made where it is not there.

    Returns:
        What info.json holds.

    Raises:
        UserError: If the file cannot be read, has bad rows (all are counted, the first are listed),
            has no row at all, or if a default context is given for text.
    """
    formatter = prompt_formatter(tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    info = _write_records(source, formatter, folder / RECORDS_FILE)
    write_records_info(folder, info)
    return info


def write_no_records(model_reference: str, folder: Path) -> RecordsInfo:
    """Writes what stands for a set that was not given: no records, and an info.json of zeros.

    Args:
        model_reference: The model that is tuned.
        folder: Where the files go; made where it is not there.

    Returns:
        What info.json holds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORDS_FILE).write_bytes(b"")
    info = RecordsInfo(model_reference)
    write_records_info(folder, info)
    return info


def _write_records(source: Source, formatter: PromptFormatter, path: Path) -> RecordsInfo:
    encoder = msgspec.json.Encoder()
    examples = conversations = 0
    with open_input(source.uri) as stream, path.open("wb") as output:
        reader = RowReader(stream, source.uri)
        for record in _records(reader, formatter, source.default_context):
            output.write(encoder.encode(record) + b"\n")
            examples += 1
            # A conversation's first record, whether or not `data` lists share line numbers.
            conversations += bool(reader.is_chat) and record.turn == 0
    reader.raise_problems()
    _refuse(source, reader, examples)
    _logger.info("%s: %d examples, format %s.", source.uri, examples, formatter.prompt_format)
    return RecordsInfo(
        prompt_format=formatter.prompt_format,
        model_reference=source.model_reference,
        examples=examples,
        conversations=conversations,
        default_context=source.default_context,
        source_uri=source.uri,
        source_sha256=reader.sha256,
        source_bytes=reader.byte_count,
    )


def _refuse(source: Source, reader: RowReader, examples: int) -> None:
    if not examples:
        raise UserError(
            Problem("the file has no examples.", source.uri, fix="Write one JSON object a line.")
        )
    if source.default_context and not reader.is_chat:
        raise UserError(
            Problem(
                "a default context is given, but the dataset holds text examples.",
                "default_context",
                allowed="a default context with conversations (rows with `messages`) only",
                fix="Leave it empty, or write the context into each input_text.",
            )
        )


def _records(
    reader: RowReader, formatter: PromptFormatter, default_context: str
) -> Iterator[Record]:
    previous_line = turn = 0
    for line, row in reader:
        if isinstance(row, ChatRow):
            yield from _chat_records(row, line, formatter, default_context)
        else:
            turn = turn + 1 if line == previous_line else 0
            previous_line = line
            yield _text_record(row, line, turn, formatter)


def _text_record(row: TextRow, line: int, turn: int, formatter: PromptFormatter) -> Record:
    prompt, completion = formatter.text_example(row.input_text, row.output_text)
    return Record(prompt, completion, line, turn)


def _chat_records(
    row: ChatRow, line: int, formatter: PromptFormatter, default_context: str
) -> Iterator[Record]:
    context = default_context if row.context is None else row.context
    head = formatter.head_length(context)
    for turn in range(len(row.messages) // 2):
        prompt, completion = formatter.chat_example(row.messages[: 2 * turn + 2], context)
        yield Record(prompt, completion, line, turn, head)
