"""How many examples a set may have, and what the steps make of them."""

from __future__ import annotations

from collections.abc import Iterator

from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.data.reading import limits
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity
from kfp_llm_tuning.components.data.reading.scan import Scan
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.models.dataset_limits import DatasetLimits
from kfp_llm_tuning.components.validation.summary import StepsSummary


def check_training_counts(
    scan: Scan, row_format: RowFormat, allowed: DatasetLimits
) -> Iterator[Finding]:
    """Judges the size of a training set.

    Args:
        scan: Its counts. Bad examples count too: mending them must not change the verdict.
        row_format: Text is limited by examples, chat by messages.
        allowed: The model's limits.

    Yields:
        Errors for what the tuner refuses, a warning for few examples; nothing where the file is no
        JSONL, since that is told already.
    """
    if not scan.is_read:
        return
    is_text = row_format == RowFormat.TEXT
    name = "example" if is_text else "conversation"
    least, most = allowed.minimum_examples, allowed.maximum_examples if is_text else None
    range_text = f"at least {least}{_at_most(most)} {name}s"
    what = f"the training set has {counted(scan.examples, name)}."
    if scan.examples < least:
        yield Finding("too_few_examples", what, range_text)
    elif most is not None and scan.examples > most:
        yield Finding("too_many_examples", what, range_text, "Choose the best of them.")
    elif scan.examples < limits.ADVISED_EXAMPLES:
        advised = f"{range_text}; {limits.ADVISED_EXAMPLES} to 500 or more are advised"
        yield Finding("few_examples", what, advised, severity=Severity.WARNING)
    if allowed.maximum_messages is not None and scan.messages > allowed.maximum_messages:
        what = f"the conversations have {scan.messages:,} messages together."
        range_text = f"at most {allowed.maximum_messages:,} messages"
        yield Finding("too_many_messages", what, range_text, "Leave out conversations.")


def check_evaluation_counts(scan: Scan, allowed: DatasetLimits) -> Iterator[Finding]:
    """Judges the size of an evaluation set.

    Args:
        scan: Its counts.
        allowed: The model's limits.

    Yields:
        An error or a warning; nothing where the file is no JSONL.
    """
    if not scan.is_read:
        return
    low, high = allowed.minimum_examples, allowed.maximum_evaluation_examples
    range_text = f"at least {low} examples" if high is None else f"{low} to {high:,} examples"
    what = f"the evaluation set has {counted(scan.examples, 'example')}."
    if scan.examples < low:
        yield Finding("too_few_examples", what, range_text)
    elif high is not None and scan.examples > high:
        yield Finding("too_many_examples", what, range_text)
    elif scan.examples > (advised := allowed.advised_evaluation_examples):
        range_text += f"; at most {advised:,} are advised"
        kind = "many_evaluation_examples"
        yield Finding(kind, what, range_text, severity=Severity.WARNING)


def check_steps(steps: StepsSummary) -> Iterator[Finding]:
    """Tells the steps and epochs, and warns of numbers that are seldom meant.

    Args:
        steps: What the tuner will do.

    Yields:
        One note or warning.
    """
    low, high = limits.ADVISED_EPOCHS
    epochs = float(f"{steps.epochs:.3g}")
    what = (
        f"{counted(steps.train_steps, 'step')} of {counted(steps.batch_size, 'example')}, "
        f"{steps.examples_seen:,} in all: {counted(epochs, 'epoch')}"
        f"{f' ({steps.reason})' if steps.reason else ''}."
    )
    if steps.epochs < low:
        fix = "A part of the data is never seen: raise train_steps or epochs."
        yield Finding("few_epochs", what, fix=fix, severity=Severity.WARNING)
    elif steps.epochs > high:
        fix = "The model will learn it by heart: lower train_steps or epochs, or add examples."
        yield Finding("many_epochs", what, fix=fix, severity=Severity.WARNING)
    else:
        yield Finding("epochs", what, severity=Severity.NOTE)


def _at_most(most: int | None) -> str:
    return "" if most is None else f" and at most {most:,}"
