"""The order in which encoded examples are trained on, and how steps are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kfp_llm_tuning.components.data.encoded_set import EncodedSet, SequencePart, StepPlan
from kfp_llm_tuning.components.data.token_layouts import TokenLayout

# Sequences are sorted by length in windows: as many batches as give rows of like length, and no
# more than a quarter of the set, or every epoch would put the same rows together. Both bounds are
# those of transformers' get_length_grouped_indices.
_MOST_BATCHES_IN_WINDOW = 50
_FEWEST_WINDOWS = 4
# Part of a run's fingerprint: a run does not go on in another order than it began in.
ORDER = (
    f"windows of {_MOST_BATCHES_IN_WINDOW} batches or 1/{_FEWEST_WINDOWS} of the set, "
    "whole conversations"
)


class StepSampler:
    """The batches of a run: every answer once an epoch, sequences of like length together.

    A batch counts answers. A step takes whole sequences until their answers, with those that the
    steps before took too many, reach its batch: so a run sees as many answers as its steps have
    examples, and fewer than one sequence more. A sequence is cut only where it has so many answers
    that nothing would be left for the next step; the second part is then read with all that stands
    before it.

    Epochs follow one another without a gap: what does not fill a batch starts the next epoch. The
    order depends on the seed alone, so a resumed run finds its place by counting.
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
            batch_size: Answers in a batch, all processes together.
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
        for step, parts in enumerate(self._batches()):
            if step == self._steps:
                return
            sequences = [self._dataset.part(part) for part in parts]
            # A process that is left without an answer reads one token, for nothing.
            nothing = SequencePart(parts[0].row, 0, 0)
            lengths = [len(sequence.input_ids) for sequence in sequences]
            of_nothing = len(self._dataset.part(nothing).input_ids)
            yield StepPlan(
                self._share(parts, self._process) or [nothing],
                sum(sequence.label_count for sequence in sequences),
                sum(lengths),
                [self._share(lengths, one) or [of_nothing] for one in range(self._processes)],
            )

    def _share(self, batch: list[Any], process: int) -> list[Any]:
        return batch[process :: self._processes]

    def _batches(self) -> Iterator[list[SequencePart]]:
        parts: list[SequencePart] = []
        missing = self._batch_size
        for row in self._rows():
            first, count = 0, int(self._dataset.answer_counts[row])
            while first < count:
                last = min(count, first + missing + self._batch_size - 1)
                parts.append(SequencePart(row, first, last))
                missing -= last - first
                first = last
                if missing <= 0:
                    yield parts
                    parts = []
                    missing += self._batch_size

    def _rows(self) -> Iterator[int]:
        rest = np.zeros(0, dtype=np.int64)
        epoch = 0
        while True:
            generator = np.random.default_rng([self._seed, epoch])
            pool = np.concatenate([rest, generator.permutation(len(self._dataset))])
            answers = np.cumsum(self._dataset.answer_counts[pool])
            whole = answers[-1] - answers[-1] % self._batch_size
            full = int(np.searchsorted(answers, whole, side="right"))
            batches = self._grouped(pool[:full])
            for number in generator.permutation(len(batches)):
                yield from batches[number].tolist()
            rest = pool[full:]
            epoch += 1

    def _grouped(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Groups rows of like length into batches, or nearly, where rows have several answers."""
        quarter = self._dataset.examples // (self._batch_size * _FEWEST_WINDOWS)
        window = self._batch_size * max(min(quarter, _MOST_BATCHES_IN_WINDOW), 1)
        parts = self._cut(rows, window)
        ordered = [part[np.argsort(self._dataset.lengths[part], kind="stable")] for part in parts]
        return [batch for part in ordered for batch in self._cut(part, self._batch_size)]

    def _cut(self, rows: NDArray[np.int64], answers: int) -> list[NDArray[np.int64]]:
        """Cuts before every row that begins at or behind the next multiple of so many answers."""
        counts = self._dataset.answer_counts[rows]
        numbers = (np.cumsum(counts) - counts) // answers
        parts = np.split(rows, np.flatnonzero(np.diff(numbers)) + 1)
        return [part for part in parts if len(part)]


def evaluation_plan(
    dataset: EncodedSet, layout: TokenLayout, tokens: int, process: int = 0, processes: int = 1
) -> list[NDArray[np.int64]]:
    """Cuts a set into forward passes; every sequence stands in one process's share.

    Args:
        dataset: The evaluation set.
        layout: How sequences are laid out.
        tokens: Tokens of one forward pass.
        process: Index of this process.
        processes: How many processes share the set.

    Returns:
        Row numbers, one array a forward pass, longest first.
    """
    rows = np.argsort(-dataset.lengths, kind="stable")[process::processes]
    return [rows[part] for part in layout.fill(dataset.lengths[rows], tokens)]
