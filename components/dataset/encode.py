"""From records to tokens: Arrow on disk that training reads memory-mapped."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.data.artifacts import (
    RECORDS_FILE,
    Encoding,
    Record,
    RecordsInfo,
    read_records,
    read_records_info,
    sequence_features,
    write_encoding,
)
from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
from kfp_llm_tuning.components.data.rendering.prompts import PromptFormatter
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization, tokenizer_hash
from kfp_llm_tuning.components.dataset.conversation_tokens import (
    ConversationTokens,
    EncodedRecord,
    EncodedSequence,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_logger = logging.getLogger(__name__)

# Records tokenised in one call: enough to keep every core at work, few enough to hold in memory.
_BATCH_SIZE = 1024
# Tokens take a hundred times the bytes of their text: of long ones fewer are encoded at a time.
_BATCH_CHARACTERS = 4 * 2**20

# Part of the content hash: raise it when the same records come to have other tokens.
_ENCODING_VERSION = 3

# Lines that a log message or an error names, and those that encoding.json lists.
_LINES_NAMED = 10
_LINES_LISTED = 10_000


@dataclass(frozen=True)
class Limits:
    """How many tokens of an example are kept.

    Attributes:
        max_input_tokens: Of a prompt, with everything its format puts around it.
        max_output_tokens: Of a completion, its end not counted.
    """

    max_input_tokens: int
    max_output_tokens: int


@dataclass
class _Lines:
    """How many records something happened to, and on which lines first: these ascend."""

    count: int = 0
    numbers: list[int] = field(default_factory=list)

    def add(self, record: Record) -> None:
        self.count += 1
        if len(self.numbers) < _LINES_LISTED and record.line not in self.numbers[-1:]:
            self.numbers.append(record.line)

    def __str__(self) -> str:
        more = ", ..." if len(self.numbers) > _LINES_NAMED else ""
        return f"{self.count} (lines {', '.join(map(str, self.numbers[:_LINES_NAMED]))}{more})"


@dataclass
class _Tally:
    """What is counted while a set is encoded."""

    examples: int = 0
    sequences: int = 0
    tokens: int = 0
    tokens_apart: int = 0
    label_tokens: int = 0
    longest: int = 0
    truncated_inputs: _Lines = field(default_factory=_Lines)
    truncated_outputs: _Lines = field(default_factory=_Lines)
    empty_outputs: _Lines = field(default_factory=_Lines)
    answers_apart: dict[str, _Lines] = field(default_factory=lambda: defaultdict(_Lines))

    def add_record(self, encoded: EncodedRecord) -> None:
        self.examples += 1
        self.tokens_apart += len(encoded.prompt) + len(encoded.completion)
        self.label_tokens += len(encoded.completion)

    def add_sequence(self, sequence: EncodedSequence) -> None:
        self.sequences += 1
        self.tokens += len(sequence.input_ids)
        self.longest = max(self.longest, len(sequence.input_ids))

    def facts(self) -> dict[str, Any]:
        """Gives the counts under the names that `Encoding` has for them."""
        return {
            "examples": self.examples,
            "sequences": self.sequences,
            "tokens": self.tokens,
            "tokens_apart": self.tokens_apart,
            "label_tokens": self.label_tokens,
            "longest": self.longest,
            "answers_apart": {why: lines.count for why, lines in self.answers_apart.items()},
            "truncated_inputs": self.truncated_inputs.count,
            "truncated_input_lines": self.truncated_inputs.numbers,
            "truncated_outputs": self.truncated_outputs.count,
            "truncated_output_lines": self.truncated_outputs.numbers,
            "empty_outputs": self.empty_outputs.count,
            "empty_output_lines": self.empty_outputs.numbers,
        }


def encode_dataset(
    records_folder: Path, tokenizer: PreTrainedTokenizerBase, limits: Limits, folder: Path
) -> Encoding:
    """Writes the encoded set: Arrow data in the layout of `datasets`, and encoding.json.

    Args:
        records_folder: What `preprocess_dataset` wrote.
        tokenizer: The tokenizer of the same model.
        limits: Where prompts and completions are cut.
        folder: Where the encoded set goes; made where it is not there.

    Returns:
        What encoding.json holds.

    Raises:
        UserError: If the records were written with another chat template, or if none of them
            leaves anything to learn.
    """
    info = read_records_info(records_folder)
    formatter = _same_formatter(info, tokenizer)
    tokenization = Tokenization(
        tokenizer, formatter, limits.max_input_tokens, limits.max_output_tokens
    )
    hash_of_tokenizer = tokenizer_hash(tokenizer)
    content_hash = _content_hash(records_folder / RECORDS_FILE, hash_of_tokenizer, limits)
    folder.mkdir(parents=True, exist_ok=True)
    tally = _Tally()
    with tempfile.TemporaryDirectory() as scratch:
        stream = Path(scratch, "examples.arrow")
        _write_arrow(_encode(read_records(records_folder), tokenization, tally), stream, tally)
        _check_not_empty(tally, info)
        _save(stream, folder, content_hash)
    encoding = Encoding(
        max_input_tokens=limits.max_input_tokens,
        max_output_tokens=limits.max_output_tokens,
        prompt_format=info.prompt_format,
        stop_token_ids=tokenization.stop_token_ids,
        content_hash=content_hash,
        tokenizer_hash=hash_of_tokenizer,
        source_uri=info.source_uri,
        source_sha256=info.source_sha256,
        source_bytes=info.source_bytes,
        task=info.task,
        **tally.facts(),
    )
    write_encoding(folder, encoding)
    _report(tally, limits, info.source_uri)
    return encoding


def encode_nothing(limits: Limits, folder: Path) -> Encoding:
    """Writes what stands for a set that was not given: an encoding.json of zeros, no Arrow data.

    Args:
        limits: The model's limits.
        folder: Where the file goes; made where it is not there.

    Returns:
        What encoding.json holds.
    """
    encoding = Encoding(limits.max_input_tokens, limits.max_output_tokens)
    write_encoding(folder, encoding)
    _logger.info("No set was given: there is nothing to encode.")
    return encoding


def _encode(
    records: Iterator[Record], tokenization: Tokenization, tally: _Tally
) -> Iterator[list[EncodedSequence]]:
    """Yields batches of sequences; counts them, and what had to be cut, left out or read apart."""
    conversation = ConversationTokens(lambda why, record: tally.answers_apart[why].add(record))
    for batch in _batches(records):
        encoded = _encode_batch(batch, tokenization, tally)
        yield [done for record in encoded if (done := conversation.add(record))]
    if last := conversation.finish():
        yield [last]


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    characters = 0
    for record in records:
        batch.append(record)
        characters += len(record.prompt) + len(record.completion)
        if len(batch) == _BATCH_SIZE or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _encode_batch(
    batch: Sequence[Record], tokenization: Tokenization, tally: _Tally
) -> Iterator[EncodedRecord]:
    prompts = tokenization.prompts(
        [record.prompt for record in batch], [record.head for record in batch]
    )
    completions = tokenization.completions(
        [record.completion for record in batch], [record.end for record in batch]
    )
    for record, prompt, completion in zip(batch, prompts, completions, strict=True):
        if len(completion.ids) == 1 and not completion.truncated:
            tally.empty_outputs.add(record)
            continue
        if prompt.truncated:
            tally.truncated_inputs.add(record)
        if completion.truncated:
            tally.truncated_outputs.add(record)
        encoded = EncodedRecord(record, prompt.ids, completion.ids, prompt.truncated)
        tally.add_record(encoded)
        yield encoded


def _write_arrow(batches: Iterable[list[EncodedSequence]], path: Path, tally: _Tally) -> None:
    import pyarrow

    schema = sequence_features().arrow_schema
    with pyarrow.ipc.new_stream(path, schema) as writer:
        for batch in batches:
            for sequence in batch:
                tally.add_sequence(sequence)
            columns = [list(column) for column in zip(*batch, strict=True)]
            if columns:
                named = dict(zip(EncodedSequence._fields, columns, strict=True))
                writer.write(pyarrow.RecordBatch.from_pydict(named, schema=schema))


def _save(path: Path, folder: Path, content_hash: str) -> None:
    """Brings the Arrow stream into the layout that `datasets.load_from_disk` opens."""
    from datasets import Dataset, disable_progress_bars
    from datasets.table import MemoryMappedTable

    disable_progress_bars()
    table = MemoryMappedTable.from_file(str(path))
    # The fingerprint names the caches of later transformations: the same data, the same cache.
    Dataset(table, fingerprint=content_hash).save_to_disk(folder)


def _content_hash(records: Path, hash_of_tokenizer: str, limits: Limits) -> str:
    with records.open("rb") as stream:
        records_hash = hashlib.file_digest(stream, "sha256").hexdigest()
    facts = {
        "version": _ENCODING_VERSION,
        "records": records_hash,
        "tokenizer": hash_of_tokenizer,
        "max_input_tokens": limits.max_input_tokens,
        "max_output_tokens": limits.max_output_tokens,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _same_formatter(info: RecordsInfo, tokenizer: PreTrainedTokenizerBase) -> PromptFormatter:
    """Gives the formatter that wrote the records, or refuses a tokenizer that has another."""
    needed = prompt_formatter(tokenizer)
    if (needed.prompt_format == "plain") != (info.prompt_format == "plain"):
        what = (
            f"the records have the format {info.prompt_format}; "
            f"this model's tokenizer needs {needed.prompt_format}."
        )
    elif needed.template_sha256 != info.template_sha256:
        what = "this model's chat template is not the one that wrote the records."
    else:
        return prompt_formatter(tokenizer, info.prompt_format)
    fix = f"Preprocess the dataset for it: that was done for {info.model_reference}."
    raise UserError(Problem(what, "large_model_reference", fix=fix))


def _check_not_empty(tally: _Tally, info: RecordsInfo) -> None:
    if not tally.examples:
        raise UserError(
            Problem(
                "nothing is left to learn after encoding: the output of every example is empty "
                f"or blank: {tally.empty_outputs}.",
                where=info.source_uri,
                fix="Write the expected answer into output_text (or the assistant's content).",
            )
        )


def _report(tally: _Tally, limits: Limits, source: str) -> None:
    _logger.info(
        "%s: %s, %s tokens, %s of them labels; the longest has %s.",
        source,
        counted(tally.examples, "example"),
        f"{tally.tokens:,}",
        f"{tally.label_tokens:,}",
        f"{tally.longest:,}",
    )
    if tally.sequences < tally.examples:
        _logger.info(
            "%s: answers of a conversation are read in one pass: %s, %.1f times fewer tokens than "
            "one by one.",
            source,
            counted(tally.sequences, "sequence"),
            tally.tokens_apart / tally.tokens,
        )
    for why, lines in tally.answers_apart.items():
        _logger.info(
            "%s: answers read apart, each with its history before it, since %s: %s.",
            source,
            why,
            lines,
        )
    cuts = [
        (tally.truncated_inputs, f"inputs cut to {limits.max_input_tokens} tokens"),
        (tally.truncated_outputs, f"outputs cut to {limits.max_output_tokens} tokens"),
        (tally.empty_outputs, "examples left out because their output is empty"),
    ]
    for lines, what in cuts:
        if lines.count:
            _logger.warning("%s: %s: %s.", source, what, lines)
