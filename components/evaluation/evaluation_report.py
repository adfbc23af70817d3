"""The page that tells a person whether the tuned model is worth keeping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kfp_llm_tuning.components.common import charts
from kfp_llm_tuning.components.common.report import render
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.evaluation.alarms import AlarmKind
from kfp_llm_tuning.components.evaluation.answer_list import list_answers
from kfp_llm_tuning.components.evaluation.artifacts import PredictionInfo
from kfp_llm_tuning.components.evaluation.comparison import (
    Evaluation,
    ModelFacts,
)
from kfp_llm_tuning.components.evaluation.headline import headline, primary_title, tone
from kfp_llm_tuning.components.evaluation.history import Curve
from kfp_llm_tuning.components.evaluation.metric_comparison import MetricComparison
from kfp_llm_tuning.components.evaluation.titles import METRIC_TITLES, metric_title
from kfp_llm_tuning.components.evaluation.training_sample import MOST_EXAMPLES

# Where no script runs; the script shows all.
_EXAMPLES_SHOWN = 8

_BLEU_WORDS = 4

# Scales that end at a fixed value; the others have no bar.
_SCALE = {"bleu": 100.0, "chrf": 100.0, "loss": 0.0, "perplexity": 0.0, "logLoss": 0.0}
_TONES = {
    "better": "good",
    "worse": "bad",
    "tuned is better": "good",
    "tuned is worse": "bad",
    "tuned is above": "good",
    "tuned is not above": "bad",
    "tuned is not clearly above": "warn",
}
_ALARM_TITLES = {
    AlarmKind.SAME_ANSWER: "Always the same answer",
    AlarmKind.NOT_ABOVE_MAJORITY: "Not above the majority answer",
    AlarmKind.NOT_ABOVE_BASELINE: "Not above a trivial baseline",
    AlarmKind.WORSE_THAN_BASE: "Worse than the base model",
    AlarmKind.EMPTY_ANSWERS: "Empty answers",
}


@dataclass(frozen=True)
class MetricRow:
    """One line of the table of metrics.

    Attributes:
        title: The metric's name for people.
        values: Both models' values.
        tone: CSS class of the verdict.
        bar: Percentages of the scale: base, tuned, and the tuned interval's ends; empty without a
            scale.
    """

    title: str
    values: MetricComparison
    tone: str
    bar: Sequence[float]


def render_report(evaluation: Evaluation, history: Mapping[str, Curve]) -> str:
    """Writes the report.

    Args:
        evaluation: What evaluation found.
        history: Curves of the training run, by tag.

    Returns:
        A complete HTML document.
    """
    answers = list_answers(evaluation.rows) if evaluation.rows else None
    return render(
        "evaluation/report.html.j2",
        "Evaluation report",
        evaluation=evaluation,
        headline=headline(evaluation),
        tone=tone(evaluation),
        alarm_titles=_ALARM_TITLES,
        primary_title=primary_title(evaluation),
        held=_held_against(evaluation),
        held_note=_held_note(evaluation),
        baselines=evaluation.baselines,
        most_known=MOST_EXAMPLES,
        metrics=[_row(metric) for metric in evaluation.metrics],
        score_name=metric_title(evaluation.rows[0].score_name) if evaluation.rows else "",
        answers=answers,
        shown=_EXAMPLES_SHOWN,
        curves=_curves(history),
        confusion=_confusion(evaluation),
        classes=_class_rows(evaluation),
        remarks=_remarks(evaluation),
    )


@dataclass(frozen=True)
class HeldRow:
    """The tuned model, or what it is held against.

    Attributes:
        title: What it is.
        value: Of the metric that decides.
        share: Percentage of the scale; None without one.
        verdict: What the tuned model is in comparison.
        tone: CSS class of the verdict.
    """

    title: str
    value: float
    share: float | None
    verdict: str
    tone: str


def _held_against(evaluation: Evaluation) -> list[HeldRow]:
    primary = evaluation.primary
    if primary is None:
        return []
    values = [primary.tuned, primary.base, *(each.value for each in evaluation.baselines)]
    scale = _SCALE.get(primary.name, 1.0 if primary.name in METRIC_TITLES else max(values))
    # A user's own metric may go below 0, where bars say nothing.
    drawn = scale > 0 and min(values) >= 0

    def row(title: str, value: float, verdict: str = "") -> HeldRow:
        share = round(100 * min(value / scale, 1.0), 2) if drawn else None
        return HeldRow(title, value, share, verdict, _TONES.get(verdict, "muted"))

    baselines = evaluation.baselines if evaluation.baseline_metric == primary.name else ()
    return [
        row("tuned model", primary.tuned),
        row("base model", primary.base, f"tuned is {primary.verdict}"),
        *(row(each.title, each.value, f"tuned is {each.verdict}") for each in baselines),
    ]


def _held_note(evaluation: Evaluation) -> str:
    primary = evaluation.primary
    if primary is None:
        return ""
    low, high = primary.tuned_interval.low, primary.tuned_interval.high
    note = f"The tuned model's 95 % interval: {low:.3g} to {high:.3g}."
    if evaluation.baselines and evaluation.baseline_metric != primary.name:
        told = ", ".join(f"{each.title} {each.value:.3g}" for each in evaluation.baselines)
        title = metric_title(evaluation.baseline_metric)
        tuned = evaluation.baselines[0].tuned
        note += f" What takes no model has none; in {title}, tuned {tuned:.3g}: {told}."
    return note


def _row(metric: MetricComparison) -> MetricRow:
    return MetricRow(
        metric_title(metric.name), metric, _TONES.get(metric.verdict, "muted"), _bar(metric)
    )


def _bar(metric: MetricComparison) -> list[float]:
    scale = _SCALE.get(metric.name, 1.0)
    if not scale:
        return []
    interval = metric.tuned_interval
    values = (metric.base, metric.tuned, interval.low, interval.high)
    shares = [value / scale for value in values]
    return [round(100 * min(max(share, 0.0), 1.0), 2) for share in shares]


def _curves(history: Mapping[str, Curve]) -> list[str]:
    chosen = [
        ("Loss", "nats", "/train_total_loss", "/eval_total_loss"),
        (
            "Correct next tokens",
            "share",
            "/train_fraction_of_correct_next_step_preds",
            "/eval_fraction_of_correct_next_step_preds",
        ),
    ]
    drawn = []
    for title, unit, train, held_out in chosen:
        names = {"training": train, "evaluation": held_out}
        series = {name: history[tag] for name, tag in names.items() if tag in history}
        if series:
            drawn.append(charts.lines(series, title, "step", unit))
    return drawn


def _confusion(evaluation: Evaluation) -> str:
    if evaluation.tuned is None or evaluation.tuned.classification is None:
        return ""
    found = evaluation.tuned.classification
    return charts.confusion_matrix(found.confusion_matrix, found.labels)


def _class_rows(evaluation: Evaluation) -> list[tuple[object, object]]:
    """Pairs the base and the tuned scores of each label."""
    pairs = [
        model.classification for model in (evaluation.base, evaluation.tuned) if model is not None
    ]
    if len(pairs) < 2 or pairs[0] is None or pairs[1] is None:
        return []
    return list(zip(pairs[0].classes, pairs[1].classes, strict=True))


def _remarks(evaluation: Evaluation) -> list[str]:
    """Says what a reader of the figures should know."""
    remarks = []
    for name, facts in (("base", evaluation.base), ("tuned", evaluation.tuned)):
        if facts is not None:
            remarks += [f"The {name} model: {remark}" for remark in _model_remarks(facts)]
    if evaluation.base is not None and evaluation.tuned is not None:
        remarks += _arithmetic_remarks(evaluation.base.info, evaluation.tuned.info)
    if evaluation.tuned is not None:
        remarks += _data_remarks(evaluation.tuned.info)
    if evaluation.rows and all(len(row.reference.split()) < _BLEU_WORDS for row in evaluation.rows):
        remarks.append(
            f"BLEU counts runs of {_BLEU_WORDS} words, and no reference is that long: its value "
            "says nothing here."
        )
    if unseen := evaluation.references_without_rouge_tokens:
        remarks.append(
            f"ROUGE sees nothing in {counted(unseen, 'reference')}: it knows the letters a to z "
            "and digits only. Look at chrF and exact match instead."
        )
    return remarks


def _arithmetic_remarks(base: PredictionInfo, tuned: PredictionInfo) -> list[str]:
    computed = [f"in {info.precision} on {info.device}" for info in (base, tuned)]
    if computed[0] == computed[1]:
        return []
    return [
        f"The base model answered {computed[0]}, the tuned model {computed[1]}: where two answers "
        "are nearly as likely, that decides, too."
    ]


def _are(count: int, noun: str) -> str:
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"


def _data_remarks(info: PredictionInfo) -> list[str]:
    remarks = []
    for what, count, lines in (
        ("prompt", info.truncated_inputs, info.truncated_input_lines),
        ("reference", info.truncated_outputs, info.truncated_output_lines),
    ):
        if count:
            first = ", ".join(map(str, lines[:10])) + (", …" if len(lines) > 10 else "")
            remarks.append(f"{_are(count, what)} too long and cut (lines {first}).")
    if info.duplicate_prompts:
        remarks.append(f"{_are(info.duplicate_prompts, 'prompt')} equal to an earlier one.")
    return remarks


def _model_remarks(facts: ModelFacts) -> list[str]:
    info = facts.info
    remarks = []
    if info.unfinished:
        remarks.append(
            f"{counted(info.unfinished, 'answer')} did not end within "
            f"{info.max_new_tokens:,} tokens ({info.max_new_tokens_rule})."
        )
    if facts.outside_labels:
        remarks.append(
            f"{_are(facts.outside_labels, 'answer')} none of the {len(info.labels)} labels."
        )
    if facts.empty:
        remarks.append(f"{_are(facts.empty, 'answer')} empty.")
    return remarks
