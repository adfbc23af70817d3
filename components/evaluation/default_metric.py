"""Which metric decides, for the task that the data ask for, unless the user names another.

It is a metric of the text that the model writes, since that is all that the system around it will
see; so everything that writes can be held against the same scale: base and tuned model, a fixed
answer, a copy of the question (`baselines.py`).

- Classification: exact match, which of labels is accuracy. `accuracy` by the likelihood of each
  label is kinder: it never sees a model that writes "It is billing." or does not stop.
- Extractive question answering: token F1, as SQuAD has it.
- Summaries and other long texts: ROUGE-L.
- Chat and other generation: ROUGE-L where answers are long, token F1 where they are short. Overlap
  with the one answer that stands in the data is a weak measure of a conversation. The loss of that
  answer is not weak in another way: it is blind to how the model's own answers go wrong, and no
  trivial baseline has one. Who knows better names a metric, or a function of their own.

ROUGE sees the letters a to z only, and words need spaces: of other scripts chrF decides.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence

from kfp_llm_tuning.components.data.tasks import Task

# Answers of up to so many words (their median) are short: SQuAD's and its like.
_SHORT_WORDS = 10
_LETTERS = re.compile(r"[^\W_]")
_ROUGE_LETTERS = re.compile(r"[a-zA-Z0-9]")
_LEAST_ROUGE_SHARE = 0.5


def default_metric(task: Task, references: Sequence[str]) -> str:
    """Chooses the metric that decides.

    Args:
        task: What the data ask for.
        references: The right answers, at least one.

    Returns:
        The name of a metric that any written answer has.
    """
    if task == Task.CLASSIFICATION:
        return "exact_match"
    if _rouge_is_blind(references):
        return "chrf"
    if task == Task.EXTRACTIVE_QUESTION_ANSWERING:
        return "token_f1"
    if task == Task.SUMMARISATION:
        return "rougeL"
    words = statistics.median(len(reference.split()) for reference in references)
    return "token_f1" if words <= _SHORT_WORDS else "rougeL"


def _rouge_is_blind(references: Sequence[str]) -> bool:
    letters = sum(len(_LETTERS.findall(text)) for text in references)
    seen = sum(len(_ROUGE_LETTERS.findall(text)) for text in references)
    return seen < _LEAST_ROUGE_SHARE * letters
