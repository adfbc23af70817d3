"""Base against tuned: every metric of both, the one that decides first, and what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem, UserError, error_sentence, raise_all
from kfp_llm_tuning.components.common.metrics import (
    METRICS,
    PRIMARY,
    is_own_metric,
    primary_metric_problem,
)
from kfp_llm_tuning.components.data.tasks import Task
from kfp_llm_tuning.components.evaluation.alarms import Alarm, find_alarms
from kfp_llm_tuning.components.evaluation.baseline_comparison import (
    Baseline,
    Scale,
    fits_text,
    measure_baselines,
)
from kfp_llm_tuning.components.evaluation.classification_metrics import Classification, classify
from kfp_llm_tuning.components.evaluation.default_metric import default_metric
from kfp_llm_tuning.components.evaluation.gate import Gate, Verdict, judge
from kfp_llm_tuning.components.evaluation.metric_comparison import (
    MetricComparison,
    PairedValues,
    compare_classifications,
    compare_corpus_metrics,
    compare_losses,
    compare_means,
    label_accuracy,
    probabilities,
)
from kfp_llm_tuning.components.evaluation.own_metric import OwnMetric, own_metric_name
from kfp_llm_tuning.components.evaluation.paired_answers import Example, pair_answers
from kfp_llm_tuning.components.evaluation.text_metrics import score_texts
from kfp_llm_tuning.components.evaluation.training_sample import (
    TrainingSample,
    read_training_sample,
)

if TYPE_CHECKING:
    from kfp_llm_tuning.components.evaluation.artifacts import PredictionInfo, PredictionSet

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Criteria:
    """What the user judges a model by.

    Attributes:
        primary_metric: A name of ``METRICS``, or ``module:function``; empty for the task's own.
        gate: What guards the registration.
    """

    primary_metric: str = ""
    gate: Gate = Gate()

    @property
    def needs_primary(self) -> bool:
        """Whether the registration hangs on the primary metric."""
        return self.gate.metric == PRIMARY


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
        metrics: Every metric of both models, the primary one first.
        gate: The verdict.
        baselines: What takes no model, in the primary metric, or in the task's own where only a
            model has a value of that.
        baseline_metric: The metric that they are measured in; empty where there are none.
        alarms: What says that the model is not worth keeping.
        base: Facts of the base model's predictions; None without an evaluation set.
        tuned: The same of the tuned model.
        references_without_rouge_tokens: References in which ROUGE sees nothing.
        rows: Every example, in the set's order.
        failures: What failed, one sentence each; the other fields hold what did not.
    """

    examples: int
    task: Task | None
    metrics: Sequence[MetricComparison]
    gate: Verdict
    baselines: Sequence[Baseline] = ()
    baseline_metric: str = ""
    alarms: Sequence[Alarm] = ()
    base: ModelFacts | None = None
    tuned: ModelFacts | None = None
    references_without_rouge_tokens: int = 0
    rows: Sequence[Example] = ()
    failures: Sequence[str] = ()

    @property
    def primary(self) -> MetricComparison | None:
        """The metric that decides; None where nothing was compared."""
        return self.metrics[0] if self.metrics else None


def compare(
    base: PredictionSet,
    tuned: PredictionSet,
    criteria: Criteria = Criteria(),
    training_records: Path | None = None,
    *,
    continue_on_failure: bool = False,
) -> Evaluation:
    """Computes every metric of both models and judges the tuned one.

    Args:
        base: Predictions of the base model.
        tuned: Predictions of the tuned model for the same evaluation set.
        criteria: What the user judges by.
        training_records: Output folder of ``preprocess-dataset`` for the training set, which the
            trivial baselines know; None: they know nothing.
        continue_on_failure: Do without a metric of the user's own that fails, and say so, unless
            the gate needs it.

    Returns:
        The evaluation; without metrics where there are no predictions.

    Raises:
        UserError: If the predictions are not of the same evaluation set, if a metric is unknown, or
            if the user's own fails.
    """
    problem = primary_metric_problem(criteria.primary_metric)
    raise_all([problem] if problem else [])
    if failures := [model.info.failure for model in (base, tuned) if model.info.failure]:
        return not_compared(failures, criteria)
    _check_same_set(base, tuned)
    if not tuned.predictions:
        return Evaluation(0, None, [], judge(criteria.gate, {}))
    return _Comparison(
        base, tuned, criteria, training_records, continue_on_failure and not criteria.needs_primary
    ).run()


def not_compared(failures: Sequence[str], criteria: Criteria) -> Evaluation:
    """Judges a tuned model of which nothing is known, because its evaluation failed.

    Args:
        failures: What failed.
        criteria: What the user judges by.

    Returns:
        An evaluation without metrics.

    Raises:
        UserError: If the gate's metric is unknown.
    """
    gate = judge(criteria.gate, {}, failure=" ".join(failures))
    return Evaluation(0, None, [], gate, failures=tuple(failures))


class _Comparison:
    """One comparison of two models that have answered."""

    def __init__(
        self,
        base: PredictionSet,
        tuned: PredictionSet,
        criteria: Criteria,
        training_records: Path | None,
        tolerant: bool,
    ) -> None:
        self._base, self._tuned, self._criteria = base, tuned, criteria
        self._training_records, self._tolerant = training_records, tolerant
        self._references = [prediction.reference for prediction in tuned.predictions]
        self._failures: list[str] = []
        self._own: OwnMetric | None = None

    def run(self) -> Evaluation:
        base, tuned = self._base, self._tuned
        scores = [
            score_texts(self._references, [row.prediction for row in model.predictions])
            for model in (base, tuned)
        ]
        facts = [_facts(model) for model in (base, tuned)]
        values = {
            name: PairedValues(scores[0].examples[name], scores[1].examples[name])
            for name in scores[0].examples
        }
        chosen = self._chosen_metric(values)
        metrics = self._metrics(values, facts[0].classification, facts[1].classification)
        if chosen not in metrics:
            raise _no_value(chosen)
        ordered = [metrics.pop(chosen), *metrics.values()]
        row_metric = chosen if chosen in values else _row_metric(tuned)
        rows = pair_answers(base, tuned, row_metric, values[row_metric])
        metric, baselines = self._baselines(chosen, ordered, values)
        return Evaluation(
            examples=len(self._references),
            task=tuned.info.task,
            metrics=ordered,
            gate=judge(self._criteria.gate, {m.name: m.tuned for m in ordered}, primary=chosen),
            baselines=baselines,
            baseline_metric=metric if baselines else "",
            alarms=find_alarms(ordered[0], baselines, rows),
            base=facts[0],
            tuned=facts[1],
            references_without_rouge_tokens=scores[1].without_rouge_tokens,
            rows=rows,
            failures=tuple(self._failures),
        )

    def _chosen_metric(self, values: dict[str, PairedValues]) -> str:
        """Names the metric that decides; adds the values of the user's own to the others'."""
        given = self._criteria.primary_metric
        if given and not is_own_metric(given):
            return given
        if given:
            try:
                return self._measure_own(given, values)
            except UserError as error:
                if not self._tolerant:
                    raise
                self._failures.append(
                    f"The primary metric could not be computed, and the task's own stands in its "
                    f"place: {error}"
                )
        return self._task_metric()

    def _measure_own(self, given: str, values: dict[str, PairedValues]) -> str:
        own = OwnMetric(given)
        prompts = [row.prompt for row in self._tuned.predictions]
        measured = [
            own.values(self._references, [row.prediction for row in model.predictions], prompts)
            for model in (self._base, self._tuned)
        ]
        values[own_metric_name(given)] = PairedValues(*measured)
        self._own = own
        return own_metric_name(given)

    def _task_metric(self) -> str:
        return default_metric(self._tuned.info.task, self._references)

    def _metrics(
        self,
        values: dict[str, PairedValues],
        first: Classification | None,
        second: Classification | None,
    ) -> dict[str, MetricComparison]:
        base, tuned = self._base, self._tuned
        labelled: list[MetricComparison] = []
        if first and second:
            values["accuracy"] = label_accuracy(base, tuned)
            labelled = compare_classifications(base, tuned, first, second)
        found = [
            *compare_means(values),
            *compare_corpus_metrics(base, tuned),
            *compare_losses(base, tuned),
            *labelled,
        ]
        named = {metric.name: metric for metric in found}
        order = [*METRICS, *(name for name in named if name not in METRICS)]
        return {name: named[name] for name in order if name in named}

    def _baselines(
        self,
        chosen: str,
        metrics: Sequence[MetricComparison],
        values: Mapping[str, PairedValues],
    ) -> tuple[str, tuple[Baseline, ...]]:
        """Measures the baselines, and names the metric that they are measured in."""
        own = self._own
        metric = chosen if own or fits_text(chosen) else self._task_metric()
        tuned = next(found.tuned for found in metrics if found.name == metric)
        each = values[metric].tuned if metric in values else None
        try:
            scale = Scale(metric, tuned, each, own)
            training = TrainingSample()
            if self._training_records:
                training = read_training_sample(self._training_records)
            return metric, measure_baselines(scale, self._tuned, training)
        except Exception as error:
            # What takes no model is good to know, and no condition of the others' metrics.
            _log.exception("The trivial baselines could not be measured.")
            self._failures.append(
                f"The trivial baselines could not be measured: {error_sentence(error)}"
            )
            return metric, ()


def _row_metric(predicted: PredictionSet) -> str:
    """Names what single answers are held against where the primary metric is of the whole set."""
    return "exact_match" if predicted.info.task == Task.CLASSIFICATION else "token_f1"


def _no_value(metric: str) -> UserError:
    what = f"{metric} has a value for classification only, which this evaluation set is not."
    return UserError(Problem(what, "primary_metric", fix="Name another, or none."))


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


def _facts(predicted: PredictionSet) -> ModelFacts:
    labels = predicted.info.labels
    answers = [row.prediction.strip() for row in predicted.predictions]
    references = [row.reference.strip() for row in predicted.predictions]
    return ModelFacts(
        info=predicted.info,
        outside_labels=sum(answer not in labels for answer in answers) if labels else 0,
        empty=sum(not answer for answer in answers),
        classification=classify(references, probabilities(predicted), labels) if labels else None,
    )
