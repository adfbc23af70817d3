"""How many examples a set may have, and what the steps make of them."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_llm_tuning.components.data.reading import limits
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity
from kfp_llm_tuning.components.data.reading.scan import Scan
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.validation.summary import StepsSummary


def check_training_counts(scan: Scan, row_format: RowFormat) -> Iterator[Finding]:
    """Judges the size of a training set.

    Args:
        scan: Its counts. Bad examples count too: mending them must not change the verdict.
        row_format: Text is limited by examples, chat by messages.

    Yields:
        Errors for what the tuner refuses, a warning for few examples; nothing where the file is no
        JSONL, since that is told already.
    """
    if not scan.is_jsonl:
        return
    name = "examples" if row_format == RowFormat.TEXT else "conversations"
    most = f" and at most {limits.MAXIMUM_EXAMPLES:,}" if row_format == RowFormat.TEXT else ""
    allowed = f"at least {limits.MINIMUM_EXAMPLES}{most} {name}"
    what = f"the training set has {_count(scan.examples, name)}."
    if scan.examples < limits.MINIMUM_EXAMPLES:
        yield Finding("too_few_examples", what, allowed)
    elif scan.examples > limits.MAXIMUM_EXAMPLES and row_format == RowFormat.TEXT:
        yield Finding("too_many_examples", what, allowed, "Choose the best of them.")
    elif scan.examples < limits.ADVISED_EXAMPLES:
        advised = f"{allowed}; {limits.ADVISED_EXAMPLES} to 500 or more are advised"
        yield Finding("few_examples", what, advised, severity=Severity.WARNING)
    if scan.messages > limits.MAXIMUM_MESSAGES:
        what = f"the conversations have {scan.messages:,} messages together."
        allowed = f"at most {limits.MAXIMUM_MESSAGES:,} messages"
        yield Finding("too_many_messages", what, allowed, "Leave out conversations.")


def check_evaluation_counts(scan: Scan) -> Iterator[Finding]:
    """Judges the size of an evaluation set.

    Args:
        scan: Its counts.

    Yields:
        An error or a warning; nothing where the file is no JSONL.
    """
    if not scan.is_jsonl:
        return
    low, high = limits.MINIMUM_EXAMPLES, limits.MAXIMUM_EVALUATION_EXAMPLES
    advised = limits.ADVISED_EVALUATION_EXAMPLES
    what = f"the evaluation set has {_count(scan.examples, 'examples')}."
    if not low <= scan.examples <= high:
        kind = "too_few_examples" if scan.examples < low else "too_many_examples"
        yield Finding(kind, what, f"{low} to {high} examples")
    elif scan.examples > advised:
        allowed = f"{low} to {high} examples; at most {advised} are advised"
        yield Finding("many_evaluation_examples", what, allowed, severity=Severity.WARNING)


def check_steps(steps: StepsSummary) -> Iterator[Finding]:
    """Tells the steps and epochs, and warns of numbers that are seldom meant.

    Args:
        steps: What the tuner will do.

    Yields:
        One note or warning.
    """
    low, high = limits.ADVISED_EPOCHS
    what = (
        f"{steps.train_steps:,} steps of {steps.batch_size} examples are "
        f"{steps.examples_seen:,} examples: {steps.epochs:.3g} epochs."
    )
    if steps.epochs < low:
        fix = "A part of the data is never seen: raise train_steps."
        yield Finding("few_epochs", what, fix=fix, severity=Severity.WARNING)
    elif steps.epochs > high:
        fix = "The model will learn it by heart: lower train_steps or add examples."
        yield Finding("many_epochs", what, fix=fix, severity=Severity.WARNING)
    else:
        yield Finding("epochs", what, severity=Severity.NOTE)


def _count(number: int, plural: str) -> str:
    if number == 0:
        return f"no {plural}"
    return f"{number:,} {plural.removesuffix('s') if number == 1 else plural}"
