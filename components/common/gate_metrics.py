"""The metrics that may guard a registration."""

from __future__ import annotations

from collections.abc import Mapping

# Every metric of an evaluation, each of which may guard a registration: whether more is better.
GATE_METRICS: Mapping[str, bool] = {
    "exact_match": True,
    "token_f1": True,
    "rouge1": True,
    "rouge2": True,
    "rougeL": True,
    "rougeLsum": True,
    "bleu": True,
    "chrf": True,
    "loss": False,
    "perplexity": False,
    "accuracy": True,
    "macro_f1": True,
    "auPrc": True,
    "auRoc": True,
    "logLoss": False,
}
# Of these only a classification task has a value.
CLASSIFICATION_METRICS = frozenset({"accuracy", "macro_f1", "auPrc", "auRoc", "logLoss"})
