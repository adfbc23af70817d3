"""The page that tells a person whether the tuned model is worth keeping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kfp_llm_tuning.components.common import charts
from kfp_llm_tuning.components.common.report import render
from kfp_llm_tuning.components.evaluation.comparison import (
    Evaluation,
    MetricComparison,
    ModelFacts,
)
from kfp_llm_tuning.components.evaluation.history import Curve
from kfp_llm_tuning.components.evaluation.paired_answers import Example

_EXAMPLES_SHOWN = 8
_CHARACTERS_SHOWN = 700

_BLEU_WORDS = 4

_TITLES = {
    "exact_match": "Exact match",
    "token_f1": "Token F1",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
    "bleu": "BLEU",
    "chrf": "chrF",
    "loss": "Loss",
    "perplexity": "Perplexity",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "auPrc": "Area under precision-recall",
    "auRoc": "Area under ROC",
    "logLoss": "Log loss",
}
# The metrics of the cards on top: those that say most of the task.
_LABEL_CARDS = ("accuracy", "exact_match", "macro_f1", "logLoss")
_TEXT_CARDS = ("exact_match", "token_f1", "rougeL", "perplexity")
# Scales that end at a fixed value; the others have no bar.
_SCALE = {"bleu": 100.0, "chrf": 100.0, "loss": 0.0, "perplexity": 0.0, "logLoss": 0.0}
_TONES = {"better": "good", "worse": "bad"}


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
    metrics = {metric.name: metric for metric in evaluation.metrics}
    improved, broken, worst = _pick(evaluation.rows)
    return render(
        "evaluation/report.html.j2",
        "Evaluation report",
        evaluation=evaluation,
        headline=_headline(evaluation),
        cards=[
            _row(metrics[name])
            for name in (_LABEL_CARDS if "accuracy" in metrics else _TEXT_CARDS)
            if metrics
        ],
        metrics=[_row(metric) for metric in evaluation.metrics],
        score_name="exact match" if evaluation.task == "classification" else "token F1",
        improved=improved,
        broken=broken,
        worst=worst,
        shown=_EXAMPLES_SHOWN,
        shorten=_shorten,
        curves=_curves(history),
        confusion=_confusion(evaluation),
        classes=_class_rows(evaluation),
        remarks=_remarks(evaluation),
    )


def _headline(evaluation: Evaluation) -> str:
    verdicts = [metric.verdict for metric in evaluation.metrics]
    if not verdicts and evaluation.failures:
        return "The evaluation failed, so nothing is known of the model's answers."
    if not verdicts:
        return "There was no evaluation set, so nothing is known of the model's answers."
    counts = {name: verdicts.count(name) for name in ("better", "worse")}
    open_ones = len(verdicts) - sum(counts.values())
    sentence = f"Of {len(verdicts)} metrics {counts['better']} are better after tuning"
    sentence += f", {counts['worse']} worse" if counts["worse"] else ", none worse"
    return sentence + (f", and {open_ones} without a clear difference." if open_ones else ".")


def _row(metric: MetricComparison) -> MetricRow:
    return MetricRow(
        _TITLES[metric.name], metric, _TONES.get(metric.verdict, "muted"), _bar(metric)
    )


def _bar(metric: MetricComparison) -> list[float]:
    scale = _SCALE.get(metric.name, 1.0)
    if not scale:
        return []
    interval = metric.tuned_interval
    values = (metric.base, metric.tuned, interval.low, interval.high)
    shares = [value / scale for value in values]
    return [round(100 * min(max(share, 0.0), 1.0), 2) for share in shares]


def _pick(rows: Sequence[Example]) -> tuple[list[Example], list[Example], list[Example]]:
    """Picks the examples that improved, those that broke, and those that are worst after tuning."""
    improved = [row for row in rows if row.tuned_score > row.base_score]
    broken = [row for row in rows if row.tuned_score < row.base_score]
    worst = [row for row in rows if row.tuned_score < 1 and row.tuned_score >= row.base_score]
    improved.sort(key=lambda row: row.base_score - row.tuned_score)
    broken.sort(key=lambda row: row.tuned_score - row.base_score)
    worst.sort(key=lambda row: (row.tuned_score, row.tuned_likelihood))
    return improved, broken, worst


def _shorten(text: str, limit: int = _CHARACTERS_SHOWN) -> str:
    """Cuts the middle out of a long text and says how much."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} […{len(text) - 2 * half:,} characters…] {text[-half:]}"


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
    if evaluation.tuned is not None:
        info = evaluation.tuned.info
        for what, count, lines in (
            ("prompts", info.truncated_inputs, info.truncated_input_lines),
            ("references", info.truncated_outputs, info.truncated_output_lines),
        ):
            if count:
                first = ", ".join(map(str, lines[:10])) + (", …" if len(lines) > 10 else "")
                remarks.append(f"{count:,} {what} were too long and were cut (lines {first}).")
        if info.duplicate_prompts:
            remarks.append(f"{info.duplicate_prompts:,} prompts equal an earlier one.")
    if evaluation.rows and all(len(row.reference.split()) < _BLEU_WORDS for row in evaluation.rows):
        remarks.append(
            f"BLEU counts runs of {_BLEU_WORDS} words, and no reference is that long: its value "
            "says nothing here."
        )
    if evaluation.references_without_rouge_tokens:
        remarks.append(
            f"ROUGE sees nothing in {evaluation.references_without_rouge_tokens:,} references: it "
            "knows the letters a to z and digits only. Look at chrF and exact match instead."
        )
    return remarks


def _model_remarks(facts: ModelFacts) -> list[str]:
    info = facts.info
    remarks = []
    if info.unfinished:
        remarks.append(
            f"{info.unfinished:,} answers did not end within {info.max_new_tokens:,} tokens "
            f"({info.max_new_tokens_rule}) and were cut."
        )
    if facts.outside_labels:
        remarks.append(
            f"{facts.outside_labels:,} answers are none of the {len(info.labels)} labels."
        )
    if facts.empty:
        remarks.append(f"{facts.empty:,} answers are empty.")
    return remarks
