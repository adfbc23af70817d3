from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig

from kfp_llm_tuning.components.generation.rows import stay_in_place
from kfp_llm_tuning.components.generation.rows_cache import RowsCache

CONFIG = LlamaConfig(
    vocab_size=9, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8
)
HEADS, SIZE = 2, 4


def states(lengths: list[int], columns: int, number: int) -> torch.Tensor:
    """Makes states that tell their row and number apart; padding is not a number."""
    made = torch.full((len(lengths), HEADS, columns, SIZE), float("nan"))
    for row, length in enumerate(lengths):
        made[row, :, columns - length :] = number + row + torch.arange(length)[:, None] / 100
    return made


def update(cache: RowsCache, keys: torch.Tensor) -> None:
    for layer in range(2):
        found, values = cache.update(keys + layer, -keys - layer, layer)
        assert torch.equal(found.nan_to_num(7), -values.nan_to_num(-7))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 40)),
        st.tuples(st.just("join"), st.lists(st.integers(1, 60), min_size=1, max_size=4)),
        st.tuples(st.just("keep"), st.lists(st.booleans(), min_size=8, max_size=8)),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), steps)
def test_every_row_keeps_its_own_columns(lengths, plan):
    cache, number = RowsCache(CONFIG), 1000
    first = states(lengths, max(lengths), number)
    update(cache, first)
    expected = [first[row, :, -length:] for row, length in enumerate(lengths)]
    for what, how in plan:
        number += 1000
        if what == "append":
            for column in range(how):
                new = states([1] * len(expected), 1, number + 100 * column)
                update(cache, new)
                expected = [torch.cat([e, n], dim=1) for e, n in zip(expected, new, strict=True)]
        elif what == "join":
            other = RowsCache(CONFIG)
            new = states(how, max(how), number)
            update(other, new)
            cache.join(other)
            expected += [new[row, :, -length:] for row, length in enumerate(how)]
        else:
            order = stay_in_place([how[row % len(how)] for row in range(len(expected))])
            if not order:
                continue
            expected = [expected[row] for row in order]
            width = cache.layers[0].keys.shape[-2]
            cache.keep(order, width - max(each.shape[1] for each in expected))
        for number_of_layer, layer in enumerate(cache.layers):
            assert layer.keys.shape[0] == len(expected)
            assert layer.get_seq_length() == max(each.shape[1] for each in expected)
            for row, each in enumerate(expected):
                own = layer.keys[row, :, -each.shape[1] :]
                assert torch.equal(own, each + number_of_layer)


def test_what_left_leaves_nothing_behind():
    poison = torch.full((1, HEADS, 50, SIZE), float("nan"))
    cache = RowsCache(CONFIG)
    update(cache, torch.cat([states([50], 50, 1000), poison]))
    cache.keep([0], 0)
    for lengths in ([3], [60, 2]):
        other = RowsCache(CONFIG)
        update(other, states(lengths, max(lengths), 2000).nan_to_num(0))
        cache.join(other)
        assert all(bool(layer.keys.isfinite().all()) for layer in cache.layers)


def test_columns_that_are_needed_again_hold_nothing_old():
    cache = RowsCache(CONFIG)
    update(cache, states([60, 50], 60, 1000))
    cache.keep([1], 10)
    other = RowsCache(CONFIG)
    update(other, states([55], 55, 2000))
    cache.join(other)
    for layer in cache.layers:
        assert layer.keys.shape[-2] == 55
        assert bool((layer.keys[0, :, :5] == 0).all())


def test_room_is_given_back_when_rows_leave():
    cache = RowsCache(CONFIG)
    update(cache, states([4000, *[10] * 15], 4000, 1))
    before = cache.layers[0].keys.untyped_storage().nbytes()
    cache.keep([15, *range(1, 15)], 3990)
    assert cache.layers[0].keys.untyped_storage().nbytes() < before / 50


def test_tokens_are_written_in_place():
    cache = RowsCache(CONFIG)
    update(cache, states([100], 100, 1))
    where = cache.layers[0].keys.data_ptr()
    for _ in range(20):
        update(cache, states([1], 1, 1))
    assert cache.layers[0].keys.data_ptr() == where
