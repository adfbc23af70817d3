from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from kfp_llm_tuning.components.evaluation.classification_metrics import classify

LABELS = ["a", "b", "c", "never"]


@st.composite
def outcomes(draw):
    count = draw(st.integers(1, 20))
    references = draw(st.lists(st.sampled_from(LABELS[:3]), min_size=count, max_size=count))
    row = st.lists(st.floats(0.01, 1), min_size=4, max_size=4)
    scores = np.array(draw(st.lists(row, min_size=count, max_size=count)))
    return references, scores / scores.sum(axis=1, keepdims=True)


@given(outcomes())
def test_equal_to_scikit_learn_and_to_the_definitions(outcome):
    references, probabilities = outcome
    found = classify(references, probabilities, LABELS)
    chosen = [LABELS[i] for i in probabilities.argmax(axis=1)]
    right = [LABELS.index(reference) for reference in references]
    assert found.accuracy == pytest.approx(
        sum(a == b for a, b in zip(chosen, references, strict=True)) / len(references)
    )
    assert (
        found.confusion_matrix
        == metrics.confusion_matrix(references, chosen, labels=LABELS).tolist()
    )
    own = probabilities[np.arange(len(right)), right]
    assert found.log_loss == pytest.approx(-np.log(own).mean(), abs=1e-12)
    one_hot = np.eye(4)[right]
    assert found.auprc == pytest.approx(
        metrics.average_precision_score(one_hot, probabilities, average="micro"), abs=1e-12
    )
    assert found.auroc == pytest.approx(
        metrics.roc_auc_score(one_hot, probabilities, average="micro"), abs=1e-12
    )
    for scores in found.classes:
        given_it = chosen.count(scores.label)
        hits = sum(a == b == scores.label for a, b in zip(chosen, references, strict=True))
        assert scores.support == references.count(scores.label)
        assert scores.precision == pytest.approx(hits / given_it if given_it else 0)
        assert scores.recall == pytest.approx(hits / scores.support if scores.support else 0)


def test_the_curve_can_be_stored():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(4), size=2000)
    references = [LABELS[i] for i in generator.integers(0, 3, size=2000)]
    curve = classify(references, probabilities, LABELS).roc_curve
    assert len(curve.thresholds) <= 200
    assert (curve.false_positive_rates[0], curve.false_positive_rates[-1]) == (0, 1)
    assert curve.thresholds == sorted(curve.thresholds, reverse=True)
    json.dumps(curve.thresholds, allow_nan=False)
