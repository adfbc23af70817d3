"""What the metrics are called for people."""

from __future__ import annotations

from collections.abc import Mapping

METRIC_TITLES: Mapping[str, str] = {
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
    "accuracy": "Accuracy of the most likely label",
    "macro_f1": "Macro F1",
    "auPrc": "Area under precision-recall",
    "auRoc": "Area under ROC",
    "logLoss": "Log loss",
}


def metric_title(name: str) -> str:
    """Gives a metric's name for people: a user's own is called as its function is."""
    return METRIC_TITLES.get(name, name)
