"""Writes down what a set's scan found: its figures, its notes, what was not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.credentials import hide_credentials
from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.data.reading.field_names import quote
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity
from kfp_llm_tuning.components.data.reading.scan import Scan
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.validation.dataset_profile import DatasetProfile
from kfp_llm_tuning.components.validation.lengths import Lengths
from kfp_llm_tuning.components.validation.summary import DatasetSummary, FindingSummary

if TYPE_CHECKING:
    from kfp_llm_tuning.components.validation.tokens import TokenCounts


@dataclass(frozen=True)
class ScannedDataset:
    """One set after its scan.

    Attributes:
        scan: Its counts.
        profile: Of its good examples.
        tokens: Their lengths in tokens; None where they could not be counted.
    """

    scan: Scan
    profile: DatasetProfile
    tokens: TokenCounts | None


def summarise(checked: ScannedDataset, model: ModelReference) -> DatasetSummary:
    """Puts a set into figures.

    Args:
        checked: The set.
        model: Whose limits its lengths are held against.

    Returns:
        The figures.
    """
    scanned, profile, tokens = checked.scan, checked.profile, checked.tokens
    return DatasetSummary(
        uri=hide_credentials(scanned.uri),
        bytes=scanned.bytes,
        lines=scanned.lines,
        blank_lines=scanned.blank_lines,
        examples=scanned.examples,
        good_examples=scanned.good_examples,
        training_examples=scanned.answers,
        sequences=scanned.good_examples + (tokens.rewritten if tokens else 0),
        messages=scanned.messages,
        advised_on=scanned.visited,
        ignored_fields=dict(scanned.ignored_fields.most_common()),
        input_characters=Lengths.of(profile.input_characters),
        output_characters=Lengths.of(profile.output_characters),
        input_tokens=Lengths.of(tokens.inputs, model.max_input_tokens) if tokens else None,
        output_tokens=Lengths.of(tokens.outputs, model.max_output_tokens) if tokens else None,
        task=profile.tasks.task,
        labels=profile.tasks.labels,
        conversation_pairs=dict(sorted(profile.pairs.items())),
        samples=profile.samples,
    )


def list_notes(checked: ScannedDataset) -> Iterator[Finding]:
    """Tells what the rows were read as, how, and what was passed over."""
    scanned, tokens = checked.scan, checked.tokens
    if scanned.good_examples and scanned.format.name:
        what = f"read as {scanned.format.title}, {_count_rows(scanned)}."
        yield Finding("format", what, severity=Severity.NOTE)
    if scanned.good_examples and scanned.format.caution:
        what = f"{_count_rows(scanned)}: {scanned.format.caution}"
        yield Finding("other_answers", what, severity=Severity.WARNING)
    if tokens and tokens.rewritten:
        what = (
            f"{counted(tokens.rewritten, 'answer')} of conversations cannot be learned in one pass "
            "with the answers before: the model's prompt format writes earlier messages in other "
            "words once more is said."
        )
        yield Finding("separate_passes", what, severity=Severity.NOTE)
    if scanned.blank_lines:
        what = f"blank lines are skipped: {scanned.blank_lines:,}."
        yield Finding("blank_lines", what, severity=Severity.NOTE)
    for name, count in scanned.ignored_fields.most_common():
        what = f"the field {quote(name)} is not read; it stands in {counted(count, 'example')}."
        yield Finding("ignored_field", what, severity=Severity.NOTE)


def _count_rows(scanned: Scan) -> str:
    name = "conversation" if scanned.format.row_format == RowFormat.CHAT else "example"
    return counted(scanned.good_examples, name)


def list_bounds(checked: ScannedDataset) -> Iterator[str]:
    """Tells in sentences what was not looked at."""
    name = hide_credentials(checked.scan.uri)
    unseen = checked.scan.good_examples - checked.scan.visited
    if unseen:
        yield (
            f"{name}: duplicates, leakage, labels, ignored fields, lengths and tokens were looked "
            f"at in the first {checked.scan.visited:,} good examples; {unseen:,} more were "
            "checked for errors only, since so large a set is refused anyway."
        )
    if checked.tokens and checked.tokens.uncounted:
        yield (
            f"{name}: the token figures leave out {counted(checked.tokens.uncounted, 'example')} "
            "whose bytes show that nothing of them is truncated."
        )


def summarise_finding(finding: Finding) -> FindingSummary:
    """Writes a finding as it is printed."""
    return FindingSummary(
        severity=finding.severity,
        kind=finding.kind,
        where=finding.where,
        line=finding.line,
        path=finding.path,
        message=str(Problem(finding.what, allowed=finding.allowed, fix=finding.fix)),
        times=1 + finding.repeated,
    )
