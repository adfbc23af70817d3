from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.data.token_layouts import EndToEnd, PaddedRows, TokenLayout
from kfp_llm_tuning.components.data.token_sequence import TokenSequence


@st.composite
def token_sequences(draw: st.DrawFn) -> TokenSequence:
    """Sequences of one to three answers, each of which ends with a label of its own."""
    ids = draw(st.lists(st.integers(1, 50), min_size=8, max_size=14))
    inner = st.integers(1, len(ids) - 1)
    count = draw(st.integers(1, 3))
    bounds = sorted(draw(st.lists(inner, min_size=2 * count, max_size=2 * count, unique=True)))
    starts, stops = bounds[::2], bounds[1::2]
    stops[-1] = len(ids)
    ends = draw(st.lists(st.integers(1, 50), min_size=count, max_size=count))
    ends[-1] = ids[-1]
    return TokenSequence(*(np.array(one, dtype=np.int32) for one in (ids, starts, stops, ends)))


def naive(sequence: TokenSequence) -> dict[int, int]:
    """Each position that predicts a label, and the label."""
    found = {}
    for start, stop, end in zip(sequence.starts, sequence.stops, sequence.ends, strict=True):
        for at in range(start, stop):
            found[at - 1] = int(sequence.input_ids[at]) if at < stop - 1 else int(end)
    return found


@settings(deadline=None, max_examples=50)
@given(st.lists(token_sequences(), min_size=1, max_size=6), st.sampled_from([1, 8]))
def test_rows_are_what_a_loop_would_make(sequences: list[TokenSequence], multiple_of: int) -> None:
    batch = PaddedRows(multiple_of=multiple_of).collate(sequences)
    assert batch.attention_mask is not None
    width = batch.input_ids.shape[1]
    assert width % multiple_of == 0
    assert width - multiple_of < batch.longest <= width
    targets, positions = [], []
    for number, sequence in enumerate(sequences):
        inputs = sequence.input_ids[:-1].tolist()
        padding = width - len(inputs)
        assert batch.input_ids[number].tolist() == inputs + [0] * padding
        assert batch.attention_mask[number].tolist() == [1] * len(inputs) + [0] * padding
        expected = naive(sequence)
        positions += [number * width + at for at in expected]
        targets += expected.values()
    assert batch.positions.tolist() == positions
    assert batch.targets.tolist() == targets


@settings(deadline=None, max_examples=50)
@given(st.lists(token_sequences(), min_size=1, max_size=6))
def test_sequences_end_to_end_are_what_a_loop_would_make(sequences: list[TokenSequence]) -> None:
    batch = EndToEnd().collate(sequences)
    assert batch.position_ids is not None
    assert batch.bounds is not None
    bounds = batch.bounds.tolist()
    targets, positions = [], []
    for sequence, start, stop in zip(sequences, bounds, bounds[1:], strict=False):
        assert batch.input_ids[0, start:stop].tolist() == sequence.input_ids[:-1].tolist()
        assert batch.position_ids[0, start:stop].tolist() == list(range(stop - start))
        positions += [start + at for at in naive(sequence)]
        targets += naive(sequence).values()
    assert batch.input_ids.shape == (1, bounds[-1])
    assert batch.longest == max(np.diff(bounds))
    assert batch.positions.tolist() == positions
    assert batch.targets.tolist() == targets


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
    st.integers(1, 100),
    st.sampled_from([PaddedRows(), EndToEnd()]),
)
def test_passes_hold_what_fits_and_no_less(
    lengths: list[int], budget: int, layout: TokenLayout
) -> None:
    parts = layout.fill(np.array(lengths), budget)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))
    filled = [[lengths[row] for row in part] for part in parts]
    flat = [length for part in filled for length in part]
    assert flat == sorted(lengths, reverse=True)

    def tokens(part: list[int]) -> int:
        return layout.tokens(len(part), max(part), sum(part))

    for part, following in zip(filled, [*filled[1:], []], strict=True):
        assert tokens(part) <= budget or len(part) == 1
        assert not following or tokens([*part, following[0]]) > budget


@settings(deadline=None, max_examples=50)
@given(token_sequences(), st.data())
def test_parts_have_the_labels_of_the_whole(sequence: TokenSequence, data: st.DataObject) -> None:
    count = len(sequence.starts)
    cut = data.draw(st.integers(0, count))
    parts = [sequence.part(0, cut), sequence.part(cut, count)]
    assert naive(parts[0]) | naive(parts[1]) == naive(sequence)
    assert sum(part.label_count for part in parts) == sequence.label_count
    for part in parts:
        assert part.input_ids.tolist() == sequence.input_ids[: len(part.input_ids)].tolist()
