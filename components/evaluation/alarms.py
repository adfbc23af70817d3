"""What says, in red, that a tuned model is not worth keeping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.evaluation.baseline_comparison import Baseline, best_of
from kfp_llm_tuning.components.evaluation.baselines import MAJORITY_ANSWER
from kfp_llm_tuning.components.evaluation.metric_comparison import MetricComparison
from kfp_llm_tuning.components.evaluation.paired_answers import Example

# A share of equal answers from which on a model is said to answer always the same ...
_ALWAYS = 0.95
# ... unless nearly as many references are equal too.
_AS_MANY = 0.8
_OFTEN_EMPTY = 0.05


class AlarmKind(StrEnum):
    """The alarms, the worst first: a registered model is labelled with its first."""

    SAME_ANSWER = "same_answer"
    NOT_ABOVE_MAJORITY = "not_above_majority"
    NOT_ABOVE_BASELINE = "not_above_baseline"
    WORSE_THAN_BASE = "worse_than_base"
    EMPTY_ANSWERS = "empty_answers"


@dataclass(frozen=True)
class Alarm:
    """One alarm.

    Attributes:
        kind: Which.
        message: A sentence for a person.
    """

    kind: AlarmKind
    message: str


def find_alarms(
    primary: MetricComparison, baselines: Sequence[Baseline], rows: Sequence[Example]
) -> tuple[Alarm, ...]:
    """Looks for what says that a model is not worth keeping.

    Args:
        primary: The metric that decides.
        baselines: What takes no model.
        rows: Every example; at least one.

    Returns:
        The alarms, the worst first.
    """
    found = [
        *_same_answer(rows),
        *_not_above(baselines),
        *_worse_than_base(primary),
        *_empty_answers(rows),
    ]
    return tuple(found)


def _same_answer(rows: Sequence[Example]) -> Iterator[Alarm]:
    [(answer, given)] = Counter(row.tuned.strip() for row in rows).most_common(1)
    [(_, expected)] = Counter(row.reference.strip() for row in rows).most_common(1)
    if given > 1 and given >= _ALWAYS * len(rows) and expected < _AS_MANY * given:
        often = f"all {given:,}" if given == len(rows) else f"{given:,} of {len(rows):,}"
        yield Alarm(
            AlarmKind.SAME_ANSWER,
            f"The tuned model gives {often} questions one answer, {short(answer)}, and for "
            f"{expected:,} at most that is right.",
        )


def _not_above(baselines: Sequence[Baseline]) -> Iterator[Alarm]:
    failed = [baseline for baseline in baselines if baseline.verdict == "not above"]
    majority = next((each for each in failed if each.name == MAJORITY_ANSWER), None)
    if majority:
        yield Alarm(
            AlarmKind.NOT_ABOVE_MAJORITY,
            f"The tuned model ({majority.tuned:.3g}) is not above one fixed answer, the training "
            f"set's most frequent ({majority.value:.3g}): it tells nothing apart.",
        )
    best = best_of([each for each in failed if each.name != MAJORITY_ANSWER])
    if best:
        yield Alarm(
            AlarmKind.NOT_ABOVE_BASELINE,
            f"The tuned model ({best.tuned:.3g}) is not above a trivial baseline, the "
            f"{best.title} ({best.value:.3g}): there is a simpler way to do as well.",
        )


def _worse_than_base(primary: MetricComparison) -> Iterator[Alarm]:
    if primary.verdict == "worse":
        yield Alarm(
            AlarmKind.WORSE_THAN_BASE,
            f"The tuned model ({primary.tuned:.3g}) is worse than the model it was made from "
            f"({primary.base:.3g}).",
        )


def _empty_answers(rows: Sequence[Example]) -> Iterator[Alarm]:
    empty = sum(not row.tuned.strip() for row in rows)
    if empty > _OFTEN_EMPTY * len(rows):
        yield Alarm(
            AlarmKind.EMPTY_ANSWERS,
            f"{empty:,} of {len(rows):,} answers of the tuned model are empty.",
        )
