from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from kfp_llm_tuning.components.evaluation.text_metrics import (
    ROUGE_METRICS,
    exact_match,
    rouge,
    score_texts,
    token_f1,
)

SCORER = RougeScorer(list(ROUGE_METRICS))
# Few words, so that they come again; lines, capitals, signs and letters that ROUGE does not know.
WORDS = st.sampled_from(["the", "The", "cat", "sat", "x1", "a-b", "né", "猫", "İ", "\n", "", "."])
TEXTS = st.one_of(
    st.lists(WORDS, max_size=25).map(" ".join), st.text(max_size=60), st.just("line\nline\n\nend")
)


@given(TEXTS, TEXTS)
def test_rouge_equals_rouge_score(reference, prediction):
    expected = SCORER.score(reference, prediction)
    for name, value in rouge(reference, prediction).items():
        assert value == pytest.approx(expected[name].fmeasure, abs=1e-12), name


@given(TEXTS)
def test_a_text_matches_itself(text):
    assert exact_match(text, f" {text}\n") == 1
    assert token_f1(text, text) == 1


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        ("pay_bill", "pay_bill ", 1.0),
        ("pay_bill", "paybill", 0.0),
        ("Yes", "yes", 0.0),
        ("", " ", 1.0),
    ],
)
def test_exact_match(reference, prediction, expected):
    assert exact_match(reference, prediction) == expected


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        ("The cat sat.", "a cat, SAT", 1.0),
        ("the cat sat on a mat", "cat cat dog", 2 * (1 / 3) * (1 / 4) / (1 / 3 + 1 / 4)),
        ("cat", "dog", 0.0),
        ("the", "a", 1.0),
        ("the", "cat", 0.0),
        ("猫 犬", "猫", 2 / 3),
    ],
)
def test_token_f1_is_squads(reference, prediction, expected):
    assert token_f1(reference, prediction) == pytest.approx(expected, abs=1e-12)


def test_every_example_has_its_values_and_blind_references_are_counted():
    scores = score_texts(["one two", "猫", "b"], ["one two", "猫", "c"])
    assert scores.without_rouge_tokens == 1
    assert scores.examples["exact_match"].tolist() == [1, 1, 0]
    assert scores.examples["token_f1"].tolist() == [1, 1, 0]
    assert scores.examples["rougeL"].tolist() == [1, 0, 0]
    assert scores.examples["rouge2"].tolist() == [1, 0, 0]
