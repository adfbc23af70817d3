from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from kfp_llm_tuning.components.data.encoded_set import EncodedSet, SequencePart, StepPlan
from kfp_llm_tuning.components.data.step_sampler import StepSampler, evaluation_plan
from kfp_llm_tuning.components.data.token_layouts import PaddedRows
from tests.components.encoded_sets import EncodedRow

Rows = list[EncodedRow]


def rows_of(count: int) -> Rows:
    return [([number] * (number % 9 + 3), 2) for number in range(count)]


def conversations_of(answers: list[int]) -> Rows:
    """Conversations of so many answers, each of two tokens behind a question of two."""
    return [
        ([1] * 4 * count, [(at + 2, at + 4) for at in range(0, 4 * count, 4)]) for count in answers
    ]


def rows_in(plan: StepPlan) -> list[int]:
    return [part.row for part in plan.parts]


@pytest.fixture(scope="module")
def dataset(encoded: Callable[[Rows], Path]) -> EncodedSet:
    return EncodedSet(encoded(rows_of(1003)))


def test_every_example_comes_once_an_epoch(dataset: EncodedSet) -> None:
    sampler = StepSampler(dataset, batch_size=8, steps=1003, seed=3)
    counts = Counter(row for plan in sampler for row in rows_in(plan))
    assert set(counts.values()) == {8}  # 1003 steps of 8 are 8 epochs of 1003, to the row
    assert all(len(plan.parts) == 8 for plan in sampler)


def test_a_set_smaller_than_a_batch_fills_it(encoded: Callable[[Rows], Path]) -> None:
    small = EncodedSet(encoded(rows_of(10)))
    plans = list(StepSampler(small, batch_size=24, steps=5, seed=0))
    assert [len(plan.parts) for plan in plans] == [24] * 5
    counts = Counter(row for plan in plans for row in rows_in(plan))
    assert set(counts.values()) == {12}


def test_the_order_depends_on_the_seed_alone(dataset: EncodedSet) -> None:
    def order(seed: int) -> list[list[int]]:
        plans = StepSampler(dataset, batch_size=8, steps=300, seed=seed)
        return [rows_in(plan) for plan in plans]

    assert order(1) == order(1)
    assert order(1) != order(2)
    longer = StepSampler(dataset, batch_size=8, steps=999, seed=1)
    assert [rows_in(plan) for plan in islice(longer, 300)] == order(1)
    assert order(1)[:125] != order(1)[125:250]  # another order in every epoch


@pytest.mark.parametrize("examples", [24, 64, 400, 1003])
def test_batches_hold_other_rows_in_each_epoch_and_for_each_seed(
    encoded: Callable[[Rows], Path], examples: int
) -> None:
    # Every length once: sorted as a whole, the set would have one way to be cut into batches.
    distinct = EncodedSet(encoded([([1] * (2 + row), 1) for row in range(examples)]))
    batches = examples // 8

    def companions(seed: int, epoch: int) -> set[frozenset[int]]:
        plans = StepSampler(distinct, batch_size=8, steps=batches * (epoch + 1), seed=seed)
        return {frozenset(rows_in(plan)) for plan in islice(plans, batches * epoch, None)}

    first = companions(seed=0, epoch=0)
    for others in (companions(seed=0, epoch=1), companions(seed=1, epoch=0)):
        assert len(first & others) <= batches // 10


def test_processes_share_each_batch(dataset: EncodedSet) -> None:
    whole = list(StepSampler(dataset, batch_size=7, steps=50, seed=0))
    shares = [
        list(StepSampler(dataset, batch_size=7, steps=50, seed=0, process=rank, processes=3))
        for rank in range(3)
    ]
    for step, plan in enumerate(whole):
        parts = [share[step] for share in shares]
        assert sorted(row for part in parts for row in rows_in(part)) == sorted(rows_in(plan))
        assert {part.label_tokens for part in parts} == {plan.label_tokens}
        assert plan.label_tokens == dataset.lengths[rows_in(plan)].sum() - 2 * 7
        assert plan.tokens == dataset.lengths[rows_in(plan)].sum()


def test_batches_hold_rows_of_like_length(dataset: EncodedSet) -> None:
    plans = list(StepSampler(dataset, batch_size=8, steps=125, seed=0))
    width = sum(8 * dataset.lengths[rows_in(plan)].max() for plan in plans)
    tokens = sum(plan.tokens for plan in plans)
    assert tokens / width > 0.95
    longest = [dataset.lengths[rows_in(plan)].max() for plan in plans]
    assert longest != sorted(longest)  # but the batches themselves come in random order


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_evaluation_takes_every_example_once(dataset: EncodedSet, processes: int) -> None:
    rows = [
        int(row)
        for rank in range(processes)
        for part in evaluation_plan(dataset, PaddedRows(), 100, rank, processes)
        for row in part
    ]
    assert sorted(rows) == list(range(1003))


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64])
def test_a_run_sees_as_many_answers_as_its_steps_have_examples(
    encoded: Callable[[Rows], Path], batch_size: int
) -> None:
    answers = [1, 2, 3, 5, 9, 30, 2, 1, 4, 7, 17]
    dataset = EncodedSet(encoded(conversations_of(answers)))
    epochs = 6
    steps = epochs * sum(answers) // batch_size
    seen: Counter[tuple[int, int]] = Counter()
    due = total = 0
    for plan in StepSampler(dataset, batch_size=batch_size, steps=steps, seed=4):
        taken = [(row, answer) for row, first, last in plan.parts for answer in range(first, last)]
        seen.update(taken)
        due += batch_size
        total += len(taken)
        assert taken
        # The surplus is less than the step that follows, and is taken off it.
        assert due <= total < due + min(batch_size, max(answers))
    assert set(seen.values()) <= {epochs - 1, epochs, epochs + 1}


def test_conversations_are_cut_only_where_nothing_would_be_left_for_the_next_step(
    encoded: Callable[[Rows], Path],
) -> None:
    dataset = EncodedSet(encoded(conversations_of([30])))
    plans = list(StepSampler(dataset, batch_size=8, steps=4, seed=0))
    assert [plan.parts for plan in plans] == [
        [SequencePart(0, 0, 15)],
        [SequencePart(0, 15, 23)],
        [SequencePart(0, 23, 30)],
        [SequencePart(0, 0, 9)],
    ]
    # A part is read with what stands before it, and has the labels of its own answers.
    assert [plan.tokens for plan in plans] == [60, 92, 120, 36]
    assert [plan.label_tokens for plan in plans] == [30, 16, 14, 18]


def test_a_process_without_an_answer_has_something_to_read(
    encoded: Callable[[Rows], Path],
) -> None:
    dataset = EncodedSet(encoded(conversations_of([4])))
    shares = [
        next(iter(StepSampler(dataset, batch_size=4, steps=1, seed=0, process=rank, processes=2)))
        for rank in range(2)
    ]
    assert [share.parts for share in shares] == [[SequencePart(0, 0, 4)], [SequencePart(0, 0, 0)]]
    idle = dataset.part(shares[1].parts[0])
    assert (len(idle.input_ids), idle.label_count) == (2, 0)
    assert {share.label_tokens for share in shares} == {8}
