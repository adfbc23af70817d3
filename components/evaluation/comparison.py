"""Base against tuned: every metric of both, how sure the difference is, and the gate's verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.gate_metrics import GATE_METRICS
from kfp_llm_tuning.components.data.tasks import Task
from kfp_llm_tuning.components.evaluation.classification_metrics import Classification, classify
from kfp_llm_tuning.components.evaluation.classification_resampling import (
    RESAMPLED_METRICS,
    bootstrap_intervals,
    paired_p_values,
)
from kfp_llm_tuning.components.evaluation.gate import Verdict, judge
from kfp_llm_tuning.components.evaluation.paired_answers import Example, pair_answers
from kfp_llm_tuning.components.evaluation.statistics import (
    Interval,
    mean_interval,
    paired_p_value,
    ratio_interval,
    sacrebleu_interval_and_p_value,
)
from kfp_llm_tuning.components.evaluation.text_metrics import (
    CORPUS_METRICS,
    EXAMPLE_METRICS,
    TextScores,
    score_texts,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kfp_llm_tuning.components.evaluation.artifacts import PredictionInfo, PredictionSet

# Below this a difference is called more than chance.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class MetricComparison:
    """One metric of both models.

    Attributes:
        name: Name of the metric.
        base: The base model's value.
        tuned: The tuned model's value.
        base_interval: 95 % confidence interval of ``base``.
        tuned_interval: The same of ``tuned``.
        p_value: Of the paired test.
    """

    name: str
    base: float
    tuned: float
    base_interval: Interval
    tuned_interval: Interval
    p_value: float

    @property
    def better(self) -> bool:
        """Whether the tuned model's value is the better one."""
        if GATE_METRICS[self.name]:
            return self.tuned > self.base
        return self.tuned < self.base

    @property
    def verdict(self) -> str:
        """Says ``better``, ``worse``, ``equal``, or that the difference may be chance."""
        if self.tuned == self.base:
            return "equal"
        if self.p_value >= SIGNIFICANCE:
            return "no clear difference"
        return "better" if self.better else "worse"


@dataclass(frozen=True)
class ModelFacts:
    """What is worth knowing of one model's predictions beside the metrics.

    Attributes:
        info: What ``batch-predict`` said of them.
        outside_labels: Answers that are no label; 0 for generation.
        empty: Answers without a visible character.
        classification: The metrics of a classification; None for generation.
    """

    info: PredictionInfo
    outside_labels: int
    empty: int
    classification: Classification | None


@dataclass(frozen=True)
class Evaluation:
    """All that evaluation found: the content of evaluation.json but for the examples.

    Attributes:
        examples: Rows of the evaluation set; 0 where none was given.
        task: What the data ask for; None without an evaluation set.
        metrics: Every metric of both models.
        gate: The verdict.
        base: Facts of the base model's predictions; None without an evaluation set.
        tuned: The same of the tuned model.
        references_without_rouge_tokens: References in which ROUGE sees nothing.
        rows: Every example, in the set's order.
        failures: What failed, one sentence each; the other fields hold what did not.
    """

    examples: int
    task: Task | None
    metrics: list[MetricComparison]
    gate: Verdict
    base: ModelFacts | None = None
    tuned: ModelFacts | None = None
    references_without_rouge_tokens: int = 0
    rows: Sequence[Example] = ()
    failures: Sequence[str] = ()


def compare(
    base: PredictionSet, tuned: PredictionSet, gate_metric: str, gate_threshold: float
) -> Evaluation:
    """Computes every metric of both models and judges the tuned one.

    Args:
        base: Predictions of the base model.
        tuned: Predictions of the tuned model for the same evaluation set.
        gate_metric: A name of ``GATE_METRICS``; empty for no gate.
        gate_threshold: The least value that passes, the greatest for losses.

    Returns:
        The evaluation; without metrics where there are no predictions.

    Raises:
        UserError: If the predictions are not of the same evaluation set, or if the gate's metric
            is unknown.
    """
    if failures := [model.info.failure for model in (base, tuned) if model.info.failure]:
        return not_compared(failures, gate_metric, gate_threshold)
    _check_same_set(base, tuned)
    if not tuned.predictions:
        return Evaluation(0, None, [], judge(gate_metric, gate_threshold, {}))
    references = [prediction.reference for prediction in tuned.predictions]
    scores = [
        score_texts(references, [prediction.prediction for prediction in model.predictions])
        for model in (base, tuned)
    ]
    facts = [_facts(model) for model in (base, tuned)]
    metrics = [
        *_example_metrics(*scores),
        *_corpus_metrics(base, tuned),
        *_loss_metrics(base, tuned),
        *_classification_metrics(base, tuned, facts[0].classification, facts[1].classification),
    ]
    return Evaluation(
        examples=len(references),
        task=tuned.info.task,
        metrics=metrics,
        gate=judge(gate_metric, gate_threshold, {m.name: m.tuned for m in metrics}),
        base=facts[0],
        tuned=facts[1],
        references_without_rouge_tokens=scores[1].without_rouge_tokens,
        rows=pair_answers(base, tuned, *scores),
    )


def not_compared(failures: Sequence[str], gate_metric: str, gate_threshold: float) -> Evaluation:
    """Judges a tuned model of which nothing is known, because its evaluation failed.

    Args:
        failures: What failed.
        gate_metric: A name of ``GATE_METRICS``; empty for no gate.
        gate_threshold: The least value that passes, the greatest for losses.

    Returns:
        An evaluation without metrics.

    Raises:
        UserError: If the gate's metric is unknown.
    """
    gate = judge(gate_metric, gate_threshold, {}, " ".join(failures))
    return Evaluation(0, None, [], gate, failures=tuple(failures))


def _check_same_set(base: PredictionSet, tuned: PredictionSet) -> None:
    places = [[(row.line, row.turn, row.reference) for row in m.predictions] for m in (base, tuned)]
    if places[0] != places[1] or base.info.labels != tuned.info.labels:
        raise UserError(
            Problem(
                f"base and tuned predictions are of different evaluation sets "
                f"({base.info.examples} and {tuned.info.examples} examples).",
                "base_predictions, tuned_predictions",
                "two outputs of batch-predict for the same evaluation_records and training_records",
            )
        )


def _example_metrics(base: TextScores, tuned: TextScores) -> list[MetricComparison]:
    return [
        _mean_comparison(name, base.examples[name], tuned.examples[name])
        for name in EXAMPLE_METRICS
    ]


def _mean_comparison(
    name: str, base: NDArray[np.float64], tuned: NDArray[np.float64]
) -> MetricComparison:
    return MetricComparison(
        name,
        float(base.mean()),
        float(tuned.mean()),
        mean_interval(base),
        mean_interval(tuned),
        paired_p_value(base, tuned),
    )


def _corpus_metrics(base: PredictionSet, tuned: PredictionSet) -> list[MetricComparison]:
    references = [prediction.reference for prediction in tuned.predictions]
    texts = [[prediction.prediction for prediction in m.predictions] for m in (base, tuned)]
    comparisons = []
    for name in CORPUS_METRICS:
        first, second, p_value = sacrebleu_interval_and_p_value(name, references, *texts)
        comparisons.append(
            MetricComparison(
                name, first.value, second.value, first.interval, second.interval, p_value
            )
        )
    return comparisons


def _loss_metrics(base: PredictionSet, tuned: PredictionSet) -> list[MetricComparison]:
    """Computes the mean loss of a reference token, in nats, and its exponential."""
    tokens = np.array([float(row.reference_tokens) for row in tuned.predictions])
    before, after = (
        np.array([-row.reference_log_likelihood for row in model.predictions])
        for model in (base, tuned)
    )
    loss = _loss_comparison("loss", before, after, tokens)
    first, second = loss.base_interval, loss.tuned_interval
    perplexity = MetricComparison(
        "perplexity",
        _exponential(loss.base),
        _exponential(loss.tuned),
        Interval(_exponential(first.low), _exponential(first.high)),
        Interval(_exponential(second.low), _exponential(second.high)),
        loss.p_value,
    )
    return [loss, perplexity]


def _loss_comparison(
    name: str,
    base: NDArray[np.float64],
    tuned: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> MetricComparison:
    return MetricComparison(
        name,
        float(base.sum() / weights.sum()),
        float(tuned.sum() / weights.sum()),
        ratio_interval(base, weights),
        ratio_interval(tuned, weights),
        paired_p_value(base, tuned),
    )


def _exponential(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _classification_metrics(
    base: PredictionSet,
    tuned: PredictionSet,
    first: Classification | None,
    second: Classification | None,
) -> list[MetricComparison]:
    if first is None or second is None:
        return []
    numbers = {label: number for number, label in enumerate(tuned.info.labels)}
    truth = np.array([numbers[row.reference.strip()] for row in tuned.predictions])
    before, after = _probabilities(base), _probabilities(tuned)
    right, losses = zip(*(_label_outcomes(truth, model) for model in (before, after)), strict=True)
    values = [(each.macro_f1, each.auprc, each.auroc) for each in (first, second)]
    resampled = zip(
        RESAMPLED_METRICS,
        *values,
        bootstrap_intervals(truth, before),
        bootstrap_intervals(truth, after),
        paired_p_values(truth, before, after),
        strict=True,
    )
    return [
        _mean_comparison("accuracy", *right),
        *(MetricComparison(*facts) for facts in resampled),
        _loss_comparison("logLoss", losses[0], losses[1], np.ones(len(truth))),
    ]


def _label_outcomes(
    truth: NDArray[np.int_], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tells for each example whether its most likely label is right, and its log loss."""
    rows = np.arange(len(probabilities))
    # The same bound as scikit-learn's log_loss.
    least = np.finfo(probabilities.dtype).eps
    loss = -np.log(probabilities[rows, truth].clip(least, 1 - least))
    return (probabilities.argmax(axis=1) == truth).astype(float), loss


def _probabilities(predicted: PredictionSet) -> NDArray[np.float64]:
    return np.array([row.probabilities for row in predicted.label_scores])


def _facts(predicted: PredictionSet) -> ModelFacts:
    labels = predicted.info.labels
    known = set(labels)
    answers = [row.prediction.strip() for row in predicted.predictions]
    references = [row.reference.strip() for row in predicted.predictions]
    return ModelFacts(
        info=predicted.info,
        outside_labels=sum(answer not in known for answer in answers) if labels else 0,
        empty=sum(not answer for answer in answers),
        classification=classify(references, _probabilities(predicted), labels) if labels else None,
    )
