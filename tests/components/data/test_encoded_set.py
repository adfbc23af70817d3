from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.encoded_set import EncodedSet, SequencePart, StepPlan
from tests.components.encoded_sets import EncodedRow, sequences

Rows = list[EncodedRow]


def test_sequences_are_read_as_written(encoded: Callable[[Rows], Path]) -> None:
    rows: Rows = [([number] * (number % 9 + 3), 2) for number in range(30)]
    dataset = EncodedSet(encoded(rows))
    assert len(dataset) == dataset.examples == 30
    for number, (ids, prompt) in enumerate(rows):
        sequence = dataset.sequence(number)
        assert sequence.input_ids.tolist() == ids
        assert (sequence.starts.tolist(), sequence.stops.tolist()) == ([prompt], [len(ids)])
    assert dataset.largest_token == 29
    assert dataset.lengths.tolist() == [len(ids) for ids, _ in rows]
    assert dataset.label_counts.tolist() == [len(ids) - 2 for ids, _ in rows]
    assert dataset.label_tokens == dataset.label_counts.sum()


def test_a_plan_is_read_as_the_parts_it_names(encoded: Callable[[Rows], Path]) -> None:
    dataset = EncodedSet(encoded([([1, 2, 3, 4, 5, 6], [(1, 3), (4, 6)]), ([7, 8], 1)]))
    assert (len(dataset), dataset.examples) == (2, 3)
    parts = [SequencePart(0, 0, 1), SequencePart(0, 1, 2), dataset.whole(1)]
    batch = dataset.__getitems__(StepPlan(parts, 5, 11))
    assert [one.input_ids.tolist() for one in batch.sequences] == [
        [1, 2, 3],
        [*range(1, 7)],
        [7, 8],
    ]
    assert [one.labels.tolist() for one in batch.sequences] == [[2, 3], [5, 6], [8]]
    assert (batch.label_tokens, batch.tokens) == (5, 11)


def test_a_set_of_several_arrow_chunks(tmp_path: Path) -> None:
    from datasets import concatenate_datasets, load_from_disk

    from_disk = []
    for number in range(3):
        folder = str(tmp_path / str(number))
        sequences([([number, 5, 6, row], 1) for row in range(4)]).save_to_disk(folder)
        from_disk.append(load_from_disk(folder))
    target = tmp_path / "all"
    concatenate_datasets(from_disk).save_to_disk(str(target), num_shards=2)
    (target / "encoding.json").write_text('{"examples": 12}')
    dataset = EncodedSet(target)
    read = [dataset.sequence(row).input_ids.tolist() for row in range(12)]
    assert read == [[number, 5, 6, row] for number in range(3) for row in range(4)]


def test_an_empty_set_and_none(encoded: Callable[[Rows], Path]) -> None:
    for dataset in (EncodedSet(encoded([])), EncodedSet(None)):
        assert len(dataset) == dataset.examples == 0
        assert dataset.largest_token == -1


def test_a_set_of_another_version_is_a_user_error(tmp_path: Path) -> None:
    from datasets import Dataset

    old = {"input_ids": [[1, 2, 3]], "prompt_length": [1], "line": [1], "turn": [0]}
    Dataset.from_dict(old).save_to_disk(str(tmp_path))
    (tmp_path / "encoding.json").write_text('{"examples": 1}')
    with pytest.raises(UserError, match=r"another version: it has no ends, starts, stops, turns"):
        EncodedSet(tmp_path)


def test_a_folder_that_is_no_set_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no encoded dataset"):
        EncodedSet(tmp_path)
