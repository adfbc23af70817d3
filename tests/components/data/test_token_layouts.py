from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.data.token_layouts import collate
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
def test_collate_lays_out_what_a_loop_would(
    sequences: list[TokenSequence], multiple_of: int
) -> None:
    batch = collate(sequences, multiple_of=multiple_of)
    width = batch.input_ids.shape[1]
    assert width % multiple_of == 0
    targets = []
    for number, sequence in enumerate(sequences):
        inputs = sequence.input_ids[:-1].tolist()
        padding = width - len(inputs)
        assert batch.input_ids[number].tolist() == inputs + [0] * padding
        assert batch.attention_mask[number].tolist() == [1] * len(inputs) + [0] * padding
        expected = naive(sequence)
        assert batch.keep[number].nonzero().flatten().tolist() == list(expected)
        targets += expected.values()
    assert batch.targets.tolist() == targets


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
