"""Encoded examples on disk, the order in which they are trained on, and how a batch is laid out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.token_batch import TokenBatch

# Rows are sorted by length in windows: as many batches as give rows of like length, and no more
# than a quarter of the set, or every epoch would put the same rows together. Both bounds are those
# of transformers' get_length_grouped_indices.
_MOST_BATCHES_IN_WINDOW = 50
_FEWEST_WINDOWS = 4
# Part of a run's fingerprint: a run does not go on in another order than it began in.
ORDER = f"windows of {_MOST_BATCHES_IN_WINDOW} batches or 1/{_FEWEST_WINDOWS} of the set"


@dataclass(frozen=True)
class Example:
    """One encoded example.

    Attributes:
        input_ids: Prompt, completion and end of sequence; shape (length,), memory-mapped.
        prompt_length: Labels are ``input_ids[prompt_length:]``.
    """

    input_ids: NDArray[np.int32]
    prompt_length: int


@dataclass(frozen=True)
class StepBatch:
    """What one process works on in one optimiser step.

    Attributes:
        examples: This process's share of the batch.
        label_tokens: Label tokens of the whole batch, all processes together.
        tokens: Tokens of the whole batch, all processes together.
    """

    examples: list[Example]
    label_tokens: int
    tokens: int


@dataclass(frozen=True)
class StepPlan:
    """The rows of a :class:`StepBatch`, before they are read."""

    rows: NDArray[np.int64]
    label_tokens: int
    tokens: int


class EncodedSet(torch.utils.data.Dataset[StepBatch]):
    """An encoder's output folder; rows are views of the memory-mapped Arrow file.

    Attributes:
        facts: The content of ``encoding.json``.
        lengths: Tokens of every example; shape (examples,).
        label_counts: Label tokens of every example; shape (examples,).
    """

    def __init__(self, folder: Path | None) -> None:
        """Opens the folder.

        Args:
            folder: Output of ``dataset-encoder`` or ``evaluation-dataset-encoder``; None makes an
                empty set.

        Raises:
            UserError: If the folder is no such output.
        """
        self.facts: dict[str, Any] = _read_facts(folder) if folder else {"examples": 0}
        self._chunks: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []
        prompt_lengths = np.zeros(0, dtype=np.int64)
        if folder and self.facts["examples"]:
            table = _open_table(folder)
            prompt_lengths = table.column("prompt_length").to_numpy().astype(np.int64)
            for chunk in table.column("input_ids").chunks:
                self._chunks.append((chunk.offsets.to_numpy(), chunk.values.to_numpy()))
        self._starts = np.cumsum([0] + [len(offsets) - 1 for offsets, _ in self._chunks])
        self.lengths = np.concatenate(
            [np.zeros(0, dtype=np.int64)] + [np.diff(offsets) for offsets, _ in self._chunks]
        ).astype(np.int64)
        # The first token of a sequence has nothing before it to be predicted from.
        self._prompt_lengths = np.maximum(prompt_lengths, 1)
        self.label_counts = self.lengths - self._prompt_lengths

    def __len__(self) -> int:
        """Counts the examples."""
        return len(self.lengths)

    @property
    def largest_token(self) -> int:
        """Largest token id in the set; -1 where the set is empty."""
        return max((int(values.max()) for _, values in self._chunks if len(values)), default=-1)

    def example(self, row: int) -> Example:
        """Reads one example, without a copy."""
        chunk = int(np.searchsorted(self._starts, row, side="right")) - 1
        offsets, values = self._chunks[chunk]
        start, end = offsets[row - self._starts[chunk]], offsets[row - self._starts[chunk] + 1]
        return Example(values[start:end], int(self._prompt_lengths[row]))

    def __getitems__(self, plan: StepPlan) -> StepBatch:
        """Reads the rows of a plan; torch's DataLoader calls it with what the sampler yields."""
        examples = [self.example(int(row)) for row in plan.rows]
        return StepBatch(examples, plan.label_tokens, plan.tokens)


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
    from kfp_llm_tuning.components.data.artifacts import load_examples

    return load_examples(folder).data.table


class StepSampler:
    """The batches of a run: every example once an epoch, rows of like length together.

    Epochs follow one another without a gap: the rows that do not fill a batch start the next
    epoch, so every batch has its full size, also where the set is smaller than one batch.
    The order depends on the seed alone, so a resumed run finds its place by counting.
    """

    def __init__(
        self,
        dataset: EncodedSet,
        *,
        batch_size: int,
        steps: int,
        seed: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        """Plans a run.

        Args:
            dataset: The training set; at least one example.
            batch_size: Examples in a batch, all processes together.
            steps: Batches in the run.
            seed: Seed of the order.
            process: Index of this process.
            processes: How many processes share each batch.
        """
        self._dataset = dataset
        self._batch_size = batch_size
        self._steps = steps
        self._seed = seed
        self._process = process
        self._processes = processes

    def __len__(self) -> int:
        """Counts the batches of the run."""
        return self._steps

    def __iter__(self) -> Iterator[StepPlan]:
        """Yields this process's share of each batch."""
        for step, rows in enumerate(self._batches()):
            if step == self._steps:
                return
            yield StepPlan(
                rows[self._process :: self._processes],
                int(self._dataset.label_counts[rows].sum()),
                int(self._dataset.lengths[rows].sum()),
            )

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        rest = np.zeros(0, dtype=np.int64)
        epoch = 0
        while True:
            generator = np.random.default_rng([self._seed, epoch])
            pool = np.concatenate([rest, generator.permutation(len(self._dataset))])
            full = len(pool) - len(pool) % self._batch_size
            batches = self._grouped(pool[:full])
            generator.shuffle(batches)
            yield from batches
            rest = pool[full:]
            epoch += 1

    def _grouped(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        quarter = len(self._dataset) // (self._batch_size * _FEWEST_WINDOWS)
        window = self._batch_size * max(min(quarter, _MOST_BATCHES_IN_WINDOW), 1)
        parts = [rows[start : start + window] for start in range(0, len(rows), window)]
        ordered = [part[np.argsort(self._dataset.lengths[part], kind="stable")] for part in parts]
        flat = np.concatenate([np.zeros(0, dtype=np.int64), *ordered])
        return flat.reshape(-1, self._batch_size)


def evaluation_plan(
    dataset: EncodedSet, batch_size: int, process: int = 0, processes: int = 1
) -> list[NDArray[np.int64]]:
    """Cuts a set into batches of like length; every example stands in one process's share.

    Args:
        dataset: The evaluation set.
        batch_size: Examples in one forward pass.
        process: Index of this process.
        processes: How many processes share the set.

    Returns:
        Row numbers, one array a batch, longest first so that a lack of memory shows at once.
    """
    rows = np.argsort(-dataset.lengths, kind="stable")[process::processes]
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def collate(examples: Sequence[Example], *, padding: int = 0, multiple_of: int = 1) -> TokenBatch:
    """Lays examples out as one right-padded batch.

    Args:
        examples: At least one.
        padding: Token id of the padding; any id of the vocabulary does.
        multiple_of: Rounds the width up, for tensor cores.

    Returns:
        Tensors on the CPU.
    """
    width = max(len(example.input_ids) for example in examples) - 1
    width = max(-(-width // multiple_of) * multiple_of, 1)
    shape = (len(examples), width)
    input_ids = np.full(shape, padding, dtype=np.int64)
    keep = np.zeros(shape, dtype=np.bool_)
    mask = np.zeros(shape, dtype=np.int64)
    for row, example in enumerate(examples):
        last = len(example.input_ids) - 1
        input_ids[row, :last] = example.input_ids[:-1]
        keep[row, example.prompt_length - 1 : last] = True
        mask[row, :last] = 1
    targets = np.concatenate([example.input_ids[example.prompt_length :] for example in examples])
    return TokenBatch(
        torch.from_numpy(input_ids),
        torch.from_numpy(keep),
        torch.from_numpy(targets.astype(np.int64)),
        torch.from_numpy(mask),
    )
