"""What the dataset stages leave for the later ones: the layout of their two output folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kfp_llm_tuning.components.common.folders import write_atomically
from kfp_llm_tuning.components.data.rendering.prompts import PromptFormat
from kfp_llm_tuning.components.data.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset, Features

RECORDS_FILE = "records.jsonl"
_INFO_FILE = "info.json"
_ENCODING_FILE = "encoding.json"


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One training example as text: a line of records.jsonl.

    Attributes:
        prompt: What the model is given, whole and rendered.
        completion: What follows the prompt, without an end-of-sequence token.
        line: Line of the source, from 1; of a source of several files, which of all their lines.
        turn: Which learned answer of the conversation, or which example of a `data` list, from
            0. Line and turn together name a record.
        head: Characters at the prompt's start (a conversation's context) that stay when an
            over-long prompt loses its oldest part; None where the start is what stays (text).
        question: Where in the prompt the last message stands, from its first character to that
            behind its last; None where the format has changed it.
        end: What the format writes behind it where that is another end than usual, as that of some
            templates behind calls of tools; else empty.
    """

    prompt: str
    completion: str
    line: int
    turn: int = 0
    head: int | None = None
    question: tuple[int, int] | None = None
    end: str = ""

    @property
    def question_text(self) -> str:
        """The last message of the prompt alone; empty where the format has changed it."""
        start, end = self.question or (0, 0)
        return self.prompt[start:end]


class RecordsInfo(msgspec.Struct, frozen=True):
    """What info.json says of records.jsonl.

    Attributes:
        model_reference: Whose chat template rendered the records.
        prompt_format: How the tokenizer treats a prompt: with its opening token ("plain"), or as
            it stands, since the template wrote every special token ("chat_template").
        template_sha256: Digest of the chat template; empty for "plain".
        examples: Records.
        conversations: Conversations they come from; 0 for text.
        default_context: What conversations without a context were given.
        source_uri: The JSONL file; empty where no set was given.
        source_sha256: Digest of its (decompressed) content.
        source_bytes: Size of its (decompressed) content.
        task: What the rows ask the model to do.
    """

    model_reference: str
    prompt_format: PromptFormat = "plain"
    template_sha256: str = ""
    examples: int = 0
    conversations: int = 0
    default_context: str = ""
    source_uri: str = ""
    source_sha256: str = ""
    source_bytes: int = 0
    task: Task = Task.GENERATION


class Encoding(msgspec.Struct, frozen=True):
    """What encoding.json says of an encoded set. Lengths and limits count tokens.

    Attributes:
        examples: Answers that are learned, or asked for; 0 where no set was given, and then there
            is no Arrow data.
        sequences: What they are read in: a text, or a conversation with all its answers.
        tokens: Tokens of all sequences.
        tokens_apart: Tokens that would be read if every answer had a sequence of its own.
        label_tokens: Tokens of completions and ends: what the loss is computed on.
        longest: Tokens of the longest sequence.
        answers_apart: By reason, the answers of conversations that are read in a sequence of their
            own, with their history before them.
        truncated_inputs: Prompts cut to `max_input_tokens`.
        truncated_outputs: Completions cut to `max_output_tokens`.
        truncated_input_lines: Source lines of the cut prompts, ascending, each once: the first
            10,000 of them.
        truncated_output_lines: Source lines of the cut completions, likewise.
        empty_outputs: Records left out because their completion has no token.
        empty_output_lines: Source lines of those, likewise.
        max_input_tokens: Limit of a prompt.
        max_output_tokens: Limit of a completion, its end not counted.
        prompt_format: As in `RecordsInfo`.
        stop_token_ids: Tokens that end an answer: generation stops at them.
        content_hash: SHA-256 over records, tokenizer and limits: equal hash, equal tokens.
        tokenizer_hash: SHA-256 over vocabulary, rules, chat template and special tokens.
        source_uri: As in `RecordsInfo`.
        source_sha256: As in `RecordsInfo`.
        source_bytes: As in `RecordsInfo`.
        task: As in `RecordsInfo`.
    """

    max_input_tokens: int
    max_output_tokens: int
    prompt_format: PromptFormat = "plain"
    examples: int = 0
    sequences: int = 0
    tokens: int = 0
    tokens_apart: int = 0
    label_tokens: int = 0
    longest: int = 0
    answers_apart: dict[str, int] = {}
    truncated_inputs: int = 0
    truncated_outputs: int = 0
    truncated_input_lines: list[int] = []
    truncated_output_lines: list[int] = []
    empty_outputs: int = 0
    empty_output_lines: list[int] = []
    stop_token_ids: list[int] = []
    content_hash: str = ""
    tokenizer_hash: str = ""
    source_uri: str = ""
    source_sha256: str = ""
    source_bytes: int = 0
    task: Task = Task.GENERATION


def write_records_info(folder: Path, info: RecordsInfo) -> None:
    """Writes info.json."""
    _write(folder / _INFO_FILE, info)


def read_records_info(folder: Path) -> RecordsInfo:
    """Reads info.json of a preprocessed set."""
    return msgspec.json.decode((folder / _INFO_FILE).read_bytes(), type=RecordsInfo)


def read_records(folder: Path) -> Iterator[Record]:
    """Reads records.jsonl line by line, in flat memory."""
    decode = msgspec.json.Decoder(Record).decode
    with (folder / RECORDS_FILE).open("rb") as stream:
        for line in stream:
            yield decode(line)


def write_encoding(folder: Path, encoding: Encoding) -> None:
    """Writes encoding.json."""
    _write(folder / _ENCODING_FILE, encoding)


def read_encoding(folder: Path) -> Encoding:
    """Reads encoding.json of an encoded set."""
    return msgspec.json.decode((folder / _ENCODING_FILE).read_bytes(), type=Encoding)


def sequence_features() -> Features:
    """Names the columns of an encoded set: those of `TokenSequence`, and where each row is from.

    Returns:
        `input_ids`, `starts`, `stops` and `ends` as lists of int32; `line` (int32) and `turns` (a
        list of int32, one for each answer) as in `Record`.
    """
    from datasets import Features, List, Value

    integer = Value("int32")
    lists = {name: List(integer) for name in ("input_ids", "starts", "stops", "ends")}
    return Features({**lists, "line": integer, "turns": List(integer)})


def load_sequences(folder: Path) -> Dataset:
    """Opens an encoded set, memory-mapped.

    Args:
        folder: An encoded set that is not empty (see `Encoding.examples`).

    Returns:
        Rows with the columns of `sequence_features`.
    """
    from datasets import load_from_disk

    return load_from_disk(str(folder))


def _write(path: Path, value: msgspec.Struct) -> None:
    write_atomically(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n")
