"""From rows to records: a JSONL dataset becomes prompts and completions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from kfp_llm_tuning.components.common.credentials import hide_credentials
from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.common.train_on import TrainOn
from kfp_llm_tuning.components.data.artifacts import (
    RECORDS_FILE,
    Record,
    RecordsInfo,
    write_records_info,
)
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.held_out import hold_out
from kfp_llm_tuning.components.data.reading.dataset_formatter import formatter_for_dataset
from kfp_llm_tuning.components.data.reading.findings import (
    Findings,
    list_problems,
    name_files,
    refused_row,
)
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.reading.row_format import find_format
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rendering.examples import RowExample, RowRenderer
from kfp_llm_tuning.components.data.rendering.prompts import PromptFormatter, UnusableTemplateError
from kfp_llm_tuning.components.data.rows import ChatRow, Row, RowFormat
from kfp_llm_tuning.components.data.tasks import TaskFinder
from kfp_llm_tuning.components.dataset.source_digest import digest_source
from kfp_llm_tuning.components.models.model_references import resolve

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_logger = logging.getLogger(__name__)

# Every bad row is counted; so many are told in full.
MAX_PROBLEMS_LISTED = 20


@dataclass(frozen=True)
class Part:
    """Which of a dataset's rows are written.

    Attributes:
        fraction: The share that is held out to evaluate on; 0 for none, then all rows are written.
        seed: Of the choice of what is held out.
        held_out: Whether what is held out is written, and not the rest.
    """

    fraction: float = 0.0
    seed: int = 0
    held_out: bool = False


@dataclass(frozen=True)
class Source:
    """A dataset and how it is read.

    Attributes:
        uri: The dataset, as `data.sources.files.list_files` takes it.
        model_reference: The model whose prompts are written.
        default_context: Context of conversations that have none of their own.
        part: Which rows are written.
        dataset_format: A choice of the root input; empty to find the format from the rows.
        train_on: Which answers of a conversation are learned.
    """

    uri: str
    model_reference: str
    default_context: str = ""
    part: Part = Part()
    dataset_format: str = ""
    train_on: TrainOn = TrainOn.ALL


def preprocess_dataset(
    source: Source, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> RecordsInfo:
    """Writes records.jsonl and info.json, row by row in flat memory.

    A text row gives one record, a conversation one for each assistant message that is learned, with
    the whole history before it.

    Args:
        source: What to read.
        tokenizer: The model's tokenizer; its chat template is used where it has one.
        folder: Where the records go; made where it is not there.

    Returns:
        What info.json holds.

    Raises:
        UserError: If the file cannot be read, has rows that are bad or that the model's template
            refuses (all are counted, the first are listed), has no row at all, if the template
            cannot be used, or if a default context is given for text.
    """
    model = resolve(source.model_reference)
    expected = find_format(source.uri, model, source.dataset_format)
    _check_context(source, expected)
    formatter = formatter_for_dataset(tokenizer, source.uri, expected)
    folder.mkdir(parents=True, exist_ok=True)
    info = _write_records(source, expected, formatter, folder / RECORDS_FILE)
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


def _write_records(
    source: Source, expected: Format, formatter: PromptFormatter, path: Path
) -> RecordsInfo:
    findings = Findings(MAX_PROBLEMS_LISTED)
    with path.open("wb") as stream:
        writer = _RecordWriter(stream, name_files(source.uri)[0], findings)
        renderer = RowRenderer(formatter, source.default_context, writer.take)
        task = TaskFinder()

        is_written = _chooser(source, expected)
        conversations = 0

        def visit(place: Place, row: Row) -> None:
            nonlocal conversations
            if is_written():
                conversations += isinstance(row, ChatRow)
                task.add_row(row)
                renderer.add(place, row)

        scan(source.uri, expected, findings, visit, train_on=source.train_on)
        renderer.finish()
    raise_all(list_problems(findings))
    if not writer.examples:
        raise UserError(
            Problem("the file has no examples.", source.uri, fix="Write one JSON object a line.")
        )
    digest = digest_source(source.uri)
    uri = hide_credentials(source.uri)
    _logger.info(
        "%s: read as %s, %d examples, %s.",
        uri,
        expected.title,
        writer.examples,
        formatter.prompt_format,
    )
    return RecordsInfo(
        model_reference=source.model_reference,
        prompt_format=formatter.prompt_format,
        template_sha256=formatter.template_sha256,
        examples=writer.examples,
        conversations=conversations,
        default_context=source.default_context,
        source_uri=uri,
        source_sha256=digest.sha256,
        source_bytes=digest.byte_count,
        task=task.task,
    )


def _chooser(source: Source, expected: Format) -> Callable[[], bool]:
    """Gives what says, of one row after the other, whether it is written."""
    part = source.part
    if not part.fraction:
        return lambda: True
    limits = resolve(source.model_reference).dataset_limits
    held_out = hold_out(source.uri, expected, part.fraction, part.seed, limits)
    rows = iter(held_out if part.held_out else ~held_out)
    return lambda: bool(next(rows))


def _check_context(source: Source, expected: Format) -> None:
    if source.default_context and expected.row_format == RowFormat.TEXT:
        raise UserError(
            Problem(
                "a default context is given, but the dataset holds text examples.",
                "default_context",
                allowed="a default context with conversations (rows with `messages`) only",
                fix="Leave it empty, or write the context into each input_text.",
            )
        )


class _RecordWriter:
    """Writes the records of one row after the other; those of one line are counted by `turn`."""

    def __init__(self, stream: IO[bytes], name: str, findings: Findings) -> None:
        self.examples = 0
        self._stream = stream
        self._name = name
        self._findings = findings
        self._encode = msgspec.json.Encoder().encode
        self._number = 0
        self._turn = 0

    def take(self, written: RowExample[Place]) -> None:
        """Writes an example, or takes note of why it cannot be."""
        place, example = written.place, written.example
        if isinstance(example, UserError):
            found = [finding.of(self._name) for finding in refused_row(example, place)]
            if isinstance(example, UnusableTemplateError):
                raise UnusableTemplateError(*(finding.problem() for finding in found))
            for finding in found:
                self._findings.add(finding)
            return
        if place.number != self._number:
            self._number, self._turn = place.number, 0
        record = Record(
            example.prompt,
            example.answer,
            place.number,
            self._turn,
            head=written.head,
            question=written.question,
            end=example.end,
        )
        self._stream.write(self._encode(record) + b"\n")
        self._turn += 1
        self.examples += 1
