"""Fixed shapes: every sequence has its place once, with its labels, in passes of few lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.data.token_sequence import TokenSequence
from kfp_llm_tuning.components.tuning.jax_engine.token_buckets import TokenBuckets


def make_sequences(lengths: list[int], labels: list[int]) -> list[TokenSequence]:
    """Each of another token than its fellows, with its labels at the end."""
    return [
        TokenSequence.of_answer(np.full(length, number + 1, dtype=np.int32), length - count)
        for number, (length, count) in enumerate(zip(lengths, labels, strict=True))
    ]


@st.composite
def steps(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    lengths = draw(st.lists(st.integers(2, 700), min_size=1, max_size=30))
    return lengths, [draw(st.integers(1, length - 1)) for length in lengths]


@settings(max_examples=60)
@given(steps(), st.sampled_from([1, 2, 8]), st.sampled_from([64, 1024]))
def test_every_sequence_has_its_place_once(
    step: tuple[list[int], list[int]], shards: int, tokens: int
) -> None:
    lengths, labels = step
    sequences = make_sequences(lengths, labels)
    buckets = TokenBuckets.of_data(
        np.array(lengths), np.array(labels), shards=shards, tokens=tokens, most_rows=len(lengths)
    )
    batches = buckets.fill(lengths, labels)
    places = [place for batch in batches for place in batch.places.tolist() if place >= 0]
    assert sorted(places) == list(range(len(lengths)))
    assert len(buckets.buckets) <= 4
    found = []
    for batch in batches:
        bucket = batch.bucket
        rows = batch.tokens(sequences, slice(None))
        assert rows.shape == (bucket.rows, bucket.length)
        assert bucket.rows % shards == 0
        positions, targets = batch.labels(sequences, slice(None))
        assert targets.shape == (shards, bucket.labels)
        for shard in range(shards):
            own = rows[shard * bucket.rows_of_shard :][: bucket.rows_of_shard].reshape(-1)
            there = targets[shard] >= 0
            # A sequence is one token over and over: what predicts a label is the label itself.
            assert (own[positions[shard][there]] == targets[shard][there]).all()
            found += targets[shard][there].tolist()
    expected = [number + 1 for number, count in enumerate(labels) for _ in range(count)]
    assert sorted(found) == expected


def test_what_a_process_lays_out_of_a_pass_is_its_part_of_the_whole() -> None:
    lengths, labels = [40, 31, 22, 13], [3, 20, 1, 2]
    sequences = make_sequences(lengths, labels)
    buckets = TokenBuckets.of_data(
        np.array(lengths), np.array(labels), shards=2, tokens=256, most_rows=4
    )
    (batch,) = buckets.fill(lengths, labels)
    whole = batch.tokens(sequences, slice(None))
    assert (batch.tokens(sequences, slice(2, 4)) == whole[2:4]).all()
    for part, all_of_it in zip(
        batch.labels(sequences, slice(1, 2)), batch.labels(sequences, slice(None)), strict=True
    ):
        assert (part == all_of_it[1:2]).all()


def test_lengths_are_chosen_where_the_data_has_them() -> None:
    lengths = np.array([30] * 1000 + [500] * 1000 + [3000])
    buckets = TokenBuckets.of_data(
        lengths, np.ones_like(lengths), shards=1, tokens=4096, most_rows=64
    )
    assert [bucket.length for bucket in buckets.buckets] == [32, 512, 3072]


def test_like_lengths_take_one_program() -> None:
    lengths = np.arange(900, 1025)
    buckets = TokenBuckets.of_data(lengths, lengths // 2, shards=4, tokens=2048, most_rows=24)
    assert [bucket.length for bucket in buckets.buckets] == [1024]
    assert buckets.buckets[0].rows_of_shard == 2


def test_rows_of_a_batch_are_spread_evenly_over_its_passes() -> None:
    lengths = np.full(100, 129)
    buckets = TokenBuckets.of_data(lengths, np.ones(100, int), shards=1, tokens=2048, most_rows=24)
    assert [batch.bucket.rows for batch in buckets.fill([129] * 24, [1] * 24)] == [12, 12]


def test_many_labels_of_one_sequence_fit() -> None:
    lengths, labels = [100] * 8, [1] * 7 + [99]
    buckets = TokenBuckets.of_data(
        np.array(lengths), np.array(labels), shards=4, tokens=256, most_rows=8
    )
    assert len(buckets.fill(lengths, labels)) == 1


@pytest.mark.parametrize("longest", [2, 33, 4097])
def test_a_part_of_a_conversation_finds_a_pass(longest: int) -> None:
    buckets = TokenBuckets.of_data(
        np.array([longest, 40]), np.array([longest - 1, 1]), shards=1, tokens=64, most_rows=2
    )
    part = max(longest // 2, 2)
    (batch,) = buckets.fill([part], [part - 1])
    assert batch.bucket.length >= part - 1
