from __future__ import annotations

import pytest
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


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def warnings(caplog):
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("rows", [1, 8, 32])
def test_work_that_becomes_far_slower_says_so(rows, clock, caplog):
    progress = batches.Progress(4000, "prompts answered")
    for done in range(0, 3968, rows):
        clock[0] += rows / (80 if done < 2000 else 20)
        progress.add(rows)
    (warning,) = warnings(caplog)
    assert "prompts answered. The speed fell from 80 to 20 a second." in warning


def test_the_last_rows_are_no_measure(clock, caplog):
    progress = batches.Progress(1000, "prompts answered")
    for done in range(1000):
        clock[0] += 1 / 80 if done < 968 else 10
        progress.add(1)
    assert not warnings(caplog)
