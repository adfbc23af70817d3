from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.batching import (
    EncodedSet,
    Example,
    StepSampler,
    collate,
    evaluation_plan,
)

Rows = list[tuple[list[int], int]]


def rows_of(count: int) -> Rows:
    return [([number] * (number % 9 + 3), 2) for number in range(count)]


def test_examples_are_read_as_written(encoded: Callable[[Rows], Path]) -> None:
    rows = rows_of(30)
    dataset = EncodedSet(encoded(rows))
    assert len(dataset) == 30
    for number, (ids, prompt) in enumerate(rows):
        example = dataset.example(number)
        assert example.input_ids.tolist() == ids
        assert example.prompt_length == prompt
    assert dataset.largest_token == 29
    assert dataset.lengths.tolist() == [len(ids) for ids, _ in rows]
    assert dataset.label_counts.tolist() == [len(ids) - 2 for ids, _ in rows]


def test_a_set_of_several_arrow_chunks(tmp_path: Path) -> None:
    from datasets import concatenate_datasets, load_from_disk

    from_disk = []
    for number in range(3):
        folder = tmp_path / str(number)
        write_rows(folder, [([number, 5, 6, row], 1) for row in range(4)])
        from_disk.append(load_from_disk(str(folder)))
    target = tmp_path / "all"
    concatenate_datasets(from_disk).save_to_disk(str(target), num_shards=2)
    (target / "encoding.json").write_text('{"examples": 12}')
    dataset = EncodedSet(target)
    read = [dataset.example(row).input_ids.tolist() for row in range(12)]
    assert read == [[number, 5, 6, row] for number in range(3) for row in range(4)]


def write_rows(folder: Path, rows: Rows) -> None:
    from datasets import Dataset

    Dataset.from_dict(
        {"input_ids": [ids for ids, _ in rows], "prompt_length": [prompt for _, prompt in rows]}
    ).save_to_disk(str(folder))


def test_an_empty_set_and_none(encoded: Callable[[Rows], Path]) -> None:
    for dataset in (EncodedSet(encoded([])), EncodedSet(None)):
        assert len(dataset) == 0
        assert dataset.largest_token == -1


def test_a_folder_that_is_no_set_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no encoded dataset"):
        EncodedSet(tmp_path)


@pytest.fixture(scope="module")
def dataset(encoded: Callable[[Rows], Path]) -> EncodedSet:
    return EncodedSet(encoded(rows_of(1003)))


def test_every_example_comes_once_an_epoch(dataset: EncodedSet) -> None:
    sampler = StepSampler(dataset, batch_size=8, steps=1003, seed=3)
    counts = Counter(int(row) for plan in sampler for row in plan.rows)
    assert set(counts.values()) == {8}  # 1003 steps of 8 are 8 epochs of 1003, to the row
    assert all(len(plan.rows) == 8 for plan in sampler)


def test_a_set_smaller_than_a_batch_fills_it(encoded: Callable[[Rows], Path]) -> None:
    small = EncodedSet(encoded(rows_of(10)))
    plans = list(StepSampler(small, batch_size=24, steps=5, seed=0))
    assert [len(plan.rows) for plan in plans] == [24] * 5
    counts = Counter(int(row) for plan in plans for row in plan.rows)
    assert set(counts.values()) == {12}


def test_the_order_depends_on_the_seed_alone(dataset: EncodedSet) -> None:
    def order(seed: int) -> list[list[int]]:
        plans = StepSampler(dataset, batch_size=8, steps=300, seed=seed)
        return [plan.rows.tolist() for plan in plans]

    assert order(1) == order(1)
    assert order(1) != order(2)
    longer = StepSampler(dataset, batch_size=8, steps=999, seed=1)
    assert [plan.rows.tolist() for plan in islice(longer, 300)] == order(1)
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
        return {frozenset(plan.rows.tolist()) for plan in islice(plans, batches * epoch, None)}

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
        assert sorted(row for part in parts for row in part.rows) == sorted(plan.rows)
        assert {part.label_tokens for part in parts} == {plan.label_tokens}
        assert plan.label_tokens == dataset.label_counts[plan.rows].sum()
        assert plan.tokens == dataset.lengths[plan.rows].sum()


def test_batches_hold_rows_of_like_length(dataset: EncodedSet) -> None:
    plans = list(StepSampler(dataset, batch_size=8, steps=125, seed=0))
    width = sum(8 * dataset.lengths[plan.rows].max() for plan in plans)
    tokens = sum(plan.tokens for plan in plans)
    assert tokens / width > 0.95
    longest = [dataset.lengths[plan.rows].max() for plan in plans]
    assert longest != sorted(longest)  # but the batches themselves come in random order


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_evaluation_takes_every_example_once(dataset: EncodedSet, processes: int) -> None:
    rows = [
        int(row)
        for rank in range(processes)
        for part in evaluation_plan(dataset, 16, rank, processes)
        for row in part
    ]
    assert sorted(rows) == list(range(1003))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.integers(2, 12).flatmap(
            lambda length: st.tuples(
                st.lists(st.integers(1, 50), min_size=length, max_size=length),
                st.integers(1, length - 1),
            )
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([1, 8]),
)
def test_collate_lays_out_what_a_loop_would(rows: Rows, multiple_of: int) -> None:
    examples = [Example(np.array(ids, dtype=np.int32), prompt) for ids, prompt in rows]
    batch = collate(examples, multiple_of=multiple_of)
    width = batch.input_ids.shape[1]
    assert width % multiple_of == 0
    targets = []
    for number, (ids, prompt) in enumerate(rows):
        inputs = ids[:-1]
        padding = width - len(inputs)
        assert batch.input_ids[number].tolist() == inputs + [0] * padding
        assert batch.attention_mask[number].tolist() == [1] * len(inputs) + [0] * padding
        assert batch.keep[number].nonzero().flatten().tolist() == list(
            range(prompt - 1, len(ids) - 1)
        )
        targets += ids[prompt:]
    assert batch.targets.tolist() == targets
