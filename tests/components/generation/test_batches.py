from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.components.generation import batches


@given(st.lists(st.tuples(st.integers(1, 70_000), st.integers(1, 2**28)), min_size=1, max_size=100))
def test_batches_hold_every_row_once_and_keep_to_the_bounds(costs):
    tokens = [token for token, _ in costs]
    logits = [logit for _, logit in costs]
    planned = batches.plan_batches(tokens, logits)
    assert sorted(row for batch in planned for row in batch) == list(range(len(costs)))
    for batch in planned:
        assert len(batch) <= batches.BATCH_SIZE
        if len(batch) > 1:
            assert len(batch) * max(tokens[row] for row in batch) <= batches.TOKENS_PER_BATCH
            assert sum(logits[row] for row in batch) <= batches._LOGITS_PER_BATCH
    longest = [max(tokens[row] for row in batch) for batch in planned]
    assert longest == sorted(longest, reverse=True)
