"""Encoded examples on disk: opened memory-mapped, read without a copy."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.artifacts import load_sequences, sequence_features
from kfp_llm_tuning.components.data.token_sequence import TokenSequence


class SequencePart(NamedTuple):
    """Some answers of a sequence, with all that stands before them.

    Attributes:
        row: The sequence.
        first: Its first answer that is learned.
        last: The answer after the last; ``first`` where none is learned.
    """

    row: int
    first: int
    last: int


@dataclass(frozen=True)
class StepPlan:
    """What one process works on in one optimiser step, before it is read.

    Attributes:
        parts: This process's share of the batch; at least one, perhaps without an answer.
        label_tokens: Label tokens of the whole batch, all processes together.
        tokens: Tokens of the whole batch, all processes together.
        lengths: Tokens of every sequence of each process's share; shape (processes, sequences).
    """

    parts: list[SequencePart]
    label_tokens: int
    tokens: int
    lengths: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True)
class StepBatch:
    """A :class:`StepPlan` that was read."""

    sequences: list[TokenSequence]
    label_tokens: int
    tokens: int
    lengths: list[list[int]] = field(default_factory=list)


class EncodedSet(torch.utils.data.Dataset[StepBatch]):
    """An encoder's output folder; rows are views of the memory-mapped Arrow file.

    Attributes:
        facts: The content of ``encoding.json``.
        lengths: Tokens of every sequence; shape (sequences,).
        answer_counts: Answers of every sequence: each is an example; shape (sequences,).
        label_counts: Labels of every sequence; shape (sequences,).
    """

    def __init__(self, folder: Path | None) -> None:
        """Opens the folder.

        Args:
            folder: Output of ``dataset-encoder`` or ``evaluation-dataset-encoder``; None makes an
                empty set.

        Raises:
            UserError: If the folder is no such output, or one of another version.
        """
        self.facts: dict[str, Any] = _read_facts(folder) if folder else {"examples": 0}
        table = _open_table(folder) if folder and self.facts["examples"] else None
        self._input_ids = _Lists(table, "input_ids")
        self._starts = _Lists(table, "starts")
        self._stops = _Lists(table, "stops")
        self._ends = _Lists(table, "ends")
        self.lengths = self._input_ids.lengths
        self.answer_counts = self._stops.lengths
        self.label_counts = self._stops.sums() - self._starts.sums()

    def __len__(self) -> int:
        """Counts the sequences."""
        return len(self.lengths)

    @property
    def examples(self) -> int:
        """Counts the answers: each is an example."""
        return int(self.answer_counts.sum())

    @property
    def label_tokens(self) -> int:
        """Counts the labels."""
        return int(self.label_counts.sum())

    @property
    def largest_token(self) -> int:
        """Largest token id in the set; -1 where the set is empty."""
        return max(self._input_ids.max(), self._ends.max())

    def sequence(self, row: int) -> TokenSequence:
        """Reads one sequence, without a copy."""
        lists = (self._input_ids, self._starts, self._stops, self._ends)
        return TokenSequence(*(one[row] for one in lists))

    def part(self, part: SequencePart) -> TokenSequence:
        """Reads some answers of a sequence, without a copy."""
        return self.sequence(part.row).part(part.first, part.last)

    def whole(self, row: int) -> SequencePart:
        """Names all answers of a sequence."""
        return SequencePart(row, 0, int(self.answer_counts[row]))

    def __getitems__(self, plan: StepPlan) -> StepBatch:
        """Reads what a plan names; torch's DataLoader calls it with what the sampler yields."""
        sequences = [self.part(part) for part in plan.parts]
        return StepBatch(sequences, plan.label_tokens, plan.tokens, plan.lengths)


class _Lists:
    """A column of lists of integers, which may stand in several chunks."""

    def __init__(self, table: Any, name: str) -> None:
        chunks = table.column(name).chunks if table is not None else []
        self._chunks: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = [
            (chunk.offsets.to_numpy(), chunk.values.to_numpy()) for chunk in chunks
        ]
        self._first_rows = np.cumsum([0] + [len(offsets) - 1 for offsets, _ in self._chunks])
        self.lengths = np.concatenate(
            [np.zeros(0, dtype=np.int64)] + [np.diff(offsets) for offsets, _ in self._chunks]
        ).astype(np.int64)

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        number = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        offsets, values = self._chunks[number]
        row -= self._first_rows[number]
        return values[offsets[row] : offsets[row + 1]]

    def sums(self) -> NDArray[np.int64]:
        """Sums each row; shape (rows,)."""
        found = [np.zeros(0, dtype=np.int64)]
        for offsets, values in self._chunks:
            before = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
            found.append(np.diff(before[offsets]))
        return np.concatenate(found)

    def max(self) -> int:
        return max((int(values.max()) for _, values in self._chunks if len(values)), default=-1)


def _read_facts(folder: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((folder / "encoding.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            Problem(
                f"{folder} is no encoded dataset ({error}).",
                allowed="an output folder of dataset-encoder",
                fix="Run dataset-encoder first.",
            )
        ) from error
    return facts


def _open_table(folder: Path) -> Any:
    table = load_sequences(folder).data.table
    if missing := sorted(sequence_features().keys() - set(table.column_names)):
        raise UserError(
            Problem(
                f"{folder} was encoded by another version: it has no {', '.join(missing)}.",
                allowed="an output folder of this version's dataset-encoder",
                fix="Run dataset-encoder again.",
            )
        )
    return table
