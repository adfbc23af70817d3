"""Metrics of classification, from the model's own likelihood of every label; by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Points of the ROC curve that are kept: KFP stores it in the artifact's metadata.
_CURVE_POINTS = 200


@dataclass(frozen=True)
class ClassScores:
    """How well one label is told.

    Attributes:
        label: The label.
        precision: Of the examples given this label, the share that has it; 0 where none was given.
        recall: Of the examples that have this label, the share given it; 0 where none has it.
        f1: Their harmonic mean.
        support: Examples that have the label.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class RocCurve:
    """True positives against false positives, micro-averaged over the labels.

    Attributes:
        false_positive_rates: Ascending.
        true_positive_rates: Ascending.
        thresholds: Descending; the first is above every probability.
    """

    false_positive_rates: list[float]
    true_positive_rates: list[float]
    thresholds: list[float]


@dataclass(frozen=True)
class Classification:
    """All metrics of a classification.

    Attributes:
        labels: Names, in the order of the matrix.
        accuracy: Share of examples whose most likely label is right.
        macro_f1: Mean of the F1 of the labels that occur.
        auprc: Area under the precision-recall curve (average precision), micro-averaged.
        auroc: Area under the ROC curve, micro-averaged.
        log_loss: Mean negative natural logarithm of the right label's probability.
        classes: Scores of every label.
        confusion_matrix: Examples; row = right label, column = most likely label.
        roc_curve: The curve of ``auroc``.
    """

    labels: list[str]
    accuracy: float
    macro_f1: float
    auprc: float
    auroc: float
    log_loss: float
    classes: list[ClassScores]
    confusion_matrix: list[list[int]]
    roc_curve: RocCurve


def classify(
    references: Sequence[str], probabilities: NDArray[np.float64], labels: Sequence[str]
) -> Classification:
    """Computes the metrics of a classification.

    Micro-averaging takes every pair of example and label for one yes-or-no question, so that labels
    without an example in a small evaluation set do no harm.

    Args:
        references: The right labels, at least one.
        probabilities: Shape (examples, labels); rows sum to 1.
        labels: At least two distinct labels, in the order of the columns.

    Returns:
        The metrics.
    """
    from sklearn import metrics

    numbers = {label: number for number, label in enumerate(labels)}
    truth = np.array([numbers[reference] for reference in references])
    chosen = probabilities.argmax(axis=1)
    every = np.arange(len(labels))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, chosen, labels=every, zero_division=0
    )
    is_truth = truth[:, None] == every
    return Classification(
        labels=list(labels),
        accuracy=float(metrics.accuracy_score(truth, chosen)),
        macro_f1=float(f1[support > 0].mean()),
        auprc=float(metrics.average_precision_score(is_truth, probabilities, average="micro")),
        auroc=float(metrics.roc_auc_score(is_truth.ravel(), probabilities.ravel())),
        log_loss=float(metrics.log_loss(truth, probabilities, labels=every)),
        classes=[
            ClassScores(label, float(p), float(r), float(f), int(s))
            for label, p, r, f, s in zip(labels, precision, recall, f1, support, strict=True)
        ],
        confusion_matrix=metrics.confusion_matrix(truth, chosen, labels=every).tolist(),
        roc_curve=_roc_curve(is_truth.ravel(), probabilities.ravel()),
    )


def _roc_curve(is_truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> RocCurve:
    from sklearn.metrics import roc_curve

    false_positives, true_positives, thresholds = roc_curve(is_truth, scores)
    # The first is infinite, which JSON cannot hold.
    thresholds[0] = 2.0
    kept = np.unique(np.linspace(0, len(thresholds) - 1, _CURVE_POINTS).astype(int))
    return RocCurve(
        false_positives[kept].tolist(), true_positives[kept].tolist(), thresholds[kept].tolist()
    )
