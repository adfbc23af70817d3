"""The metrics of an evaluation by name, and how a user names one of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.wording import did_you_mean, short

# Whether more is better.
METRICS: Mapping[str, bool] = {
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
# What the gate calls the primary metric, whichever it is.
PRIMARY = "primary"
# What may guard a registration.
GATE_METRICS = (PRIMARY, *METRICS)
_OWN_METRIC = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
PRIMARY_METRICS_ALLOWED = (
    "a metric's name, such as exact_match or rougeL; module:function, a function of your own that "
    "takes a reference and a prediction, or these and the prompt, and returns a number, more being "
    "better; or empty for the task's own"
)


def is_own_metric(name: str) -> bool:
    """Tells whether a metric is named as ``module:function``."""
    return _OWN_METRIC.fullmatch(name) is not None


def primary_metric_problem(name: str) -> Problem | None:
    """Says what is wrong with a primary metric's name, as far as the name alone tells.

    Args:
        name: The root input ``primary_metric``.

    Returns:
        The problem; None where the name may be right.
    """
    if not name or name in METRICS or is_own_metric(name):
        return None
    what = f"{short(name)} is no metric."
    return Problem(what, "primary_metric", PRIMARY_METRICS_ALLOWED, did_you_mean(name, METRICS))
