"""The rows that the tuner is measured on."""

from __future__ import annotations

import numpy as np
import pytest
from tuner_texts import CHAT, LONG_ANSWERS, SHORT_ANSWERS, Texts


@pytest.mark.parametrize("texts", [SHORT_ANSWERS, LONG_ANSWERS, CHAT], ids=lambda one: one.title)
def test_rows_are_as_long_on_average_as_is_said(texts: Texts) -> None:
    rows = texts.draw(400, 50)
    assert np.mean([len(row.input_ids) for row in rows]) == pytest.approx(texts.tokens, rel=0.05)
    labels = np.mean([row.label_count for row in rows])
    assert labels == pytest.approx(texts.answers * texts.answer.mean, rel=0.1)


def test_every_answer_of_a_chat_is_learned_where_it_stands() -> None:
    row = CHAT.draw(1, 50)[0]
    assert len(row.starts) == CHAT.answers
    assert row.stops[-1] == len(row.input_ids)
    assert (row.labels == row.input_ids[row.positions + 1]).all()


def test_rows_are_the_same_each_time() -> None:
    first, second = (LONG_ANSWERS.draw(3, 50) for _ in range(2))
    assert all((a.input_ids == b.input_ids).all() for a, b in zip(first, second, strict=True))
