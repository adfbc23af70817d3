"""Findings that refuse no dataset but deserve a look: duplicates, conflicts, leakage, labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from unicodedata import normalize

import numpy

from kfp_llm_tuning.components.common.wording import nearest
from kfp_llm_tuning.components.data.reading.field_names import quote
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity
from kfp_llm_tuning.components.data.reading.limits import ADVISED_PAIRS
from kfp_llm_tuning.components.data.reading.scan import Place
from kfp_llm_tuning.components.validation.dataset_profile import (
    DatasetProfile,
    ExampleDigest,
    level_text,
)
from kfp_llm_tuning.components.validation.similarity import common_pieces, find_near_pairs

# An input has an instruction when it shares so many five-byte pieces with a fifth of the others:
# about as much text as "Classify the text:".
_INSTRUCTION_PIECES = 14
# Unknown labels for which a near one is looked for: no more are printed.
_MOST_NEAR_LABELS = 100
_NORMALIZE = 'Write every text in one Unicode form: unicodedata.normalize("NFC", text).'


@dataclass(frozen=True)
class Dataset:
    """One set as the advice sees it.

    Attributes:
        name: What the file is called in findings.
        profile: Its examples.
    """

    name: str
    profile: DatasetProfile


def advise(training: Dataset, evaluation: Dataset | None) -> Iterator[Finding]:
    """Looks at every example of the profile.

    Args:
        training: The training set.
        evaluation: The evaluation set, if there is one.

    Yields:
        Warnings, each with its place.
    """
    for dataset in (training, evaluation):
        if dataset:
            for finding in _advise_alone(dataset.profile):
                yield replace(finding, file=dataset.name)
    yield from _one_class(training, evaluation)
    if evaluation:
        for finding in _leakage(training.profile, evaluation.profile):
            yield replace(finding, file=evaluation.name)
    yield from _near_duplicates(training, evaluation)
    labels = training.profile.tasks.labels
    if len(labels) > 1:
        for finding in _advise_labels(training.profile, labels):
            yield replace(finding, file=training.name)
        if evaluation:
            for finding in _unknown_labels(evaluation.profile, labels):
                yield replace(finding, file=evaluation.name)


def _advise_alone(profile: DatasetProfile) -> Iterator[Finding]:
    for place, field in profile.blank:
        yield _warning("blank_text", f"{field} is white space only.", place, field)
    yield from _repetitions(profile.examples)
    low, high = ADVISED_PAIRS
    advised = f"any number; {low} to {high} are advised"
    for place, pairs in profile.unusual_lengths:
        what = f"the conversation has {pairs} user-assistant pair{'s' if pairs > 1 else ''}."
        yield _warning("unusual_conversation", what, place, "messages", advised)


def _one_class(training: Dataset, evaluation: Dataset | None) -> Iterator[Finding]:
    consequences = [
        (training, "the model learns to answer this whatever it is asked"),
        (evaluation, "a model that always answers this cannot be told from a good one"),
    ]
    for dataset, consequence in consequences:
        labels = list(dataset.profile.tasks.labels) if dataset else []
        if dataset and len(labels) == 1:
            what = f"every output is {quote(labels[0])}: {consequence}."
            finding = _warning("one_class", what, fix="Add examples with other outputs.")
            yield replace(finding, file=dataset.name)


def _repetitions(examples: list[ExampleDigest]) -> Iterator[Finding]:
    exact: dict[bytes, ExampleDigest] = {}
    inputs: dict[bytes, ExampleDigest] = {}
    for example in examples:
        same = exact.setdefault(example.exact, example)
        first = inputs.setdefault(example.input, example)
        if same is not example:
            what = f"the same example stands at {_show(same.place)}."
            yield _warning("duplicate", what, example.place)
        elif first is not example and first.output == example.output:
            what = f"the same but for case or white space stands at {_show(first.place)}."
            yield _warning("near_duplicate", what, example.place)
        elif first is not example:
            what = (
                f"the same input has another output at {_show(first.place)}: "
                f"{quote(first.output_start)} there, {quote(example.output_start)} here."
            )
            yield _warning("conflict", what, example.place)


def _leakage(training: DatasetProfile, evaluation: DatasetProfile) -> Iterator[Finding]:
    known: dict[bytes, Place] = {}
    for example in training.examples:
        known.setdefault(example.input, example.place)
    for example in evaluation.examples:
        place = known.get(example.input)
        if place:
            what = f"the same input is trained on, at {_show(place)} of the training set."
            fix = "Remove it from one of the sets: it makes the evaluation look too good."
            yield _warning("leakage", what, example.place, fix=fix)


def _near_duplicates(training: Dataset, evaluation: Dataset | None) -> Iterator[Finding]:
    """Finds inputs that are nearly but not quite the same, within and across the sets."""
    datasets = [dataset for dataset in (training, evaluation) if dataset]
    owners = [(dataset, example) for dataset in datasets for example in dataset.profile.examples]
    # Inputs that are just the same were told before: only the first of them takes part.
    firsts = {example.input: number for number, (_, example) in reversed([*enumerate(owners)])}
    chosen = sorted(firsts.values())
    sketches = [sketch for dataset in datasets for sketch in dataset.profile.sketches]
    for pair in find_near_pairs([sketches[number] for number in chosen]):
        (first_set, first), (second_set, second) = (
            owners[chosen[number]] for number in (pair.first, pair.second)
        )
        share = f"{pair.likeness:.0%} alike"
        if first_set is second_set:
            what = f"nearly the same input ({share}) stands at {_show(first.place)}."
            kind = "near_duplicate"
        else:
            what = (
                f"nearly the same input ({share}) is trained on, at {_show(first.place)} "
                "of the training set."
            )
            kind = "near_leakage"
        yield replace(_warning(kind, what, second.place), file=second_set.name)


def _advise_labels(profile: DatasetProfile, labels: dict[str, int]) -> Iterator[Finding]:
    for example in profile.examples:
        if labels[example.label] == 1:
            near = nearest(example.label, [name for name in labels if labels[name] > 1])
            fix = f"Did you mean {quote(near)}?" if near else "Add examples of it."
            what = f"the label {quote(example.label)} occurs once."
            yield _warning("rare_label", what, example.place, example.output_path, fix=fix)
    yield from _label_spellings(profile, labels)
    share = _share_with_instruction(profile)
    if share < 0.5:
        what = (
            f"the outputs look like {len(labels)} labels, but "
            f"{1 - share:.0%} of the inputs have no instruction in common."
        )
        fix = (
            'Begin every input as in "Classify the following text into one of the following '
            'classes: [...] Text: ".'
        )
        yield _warning("no_instruction", what, fix=fix)


def _label_spellings(profile: DatasetProfile, labels: dict[str, int]) -> Iterator[Finding]:
    """Finds labels that are one to a reader; the most frequent spelling is taken for the right."""
    firsts: dict[str, str] = {}
    right = {label: firsts.setdefault(_as_read(label), label) for label in labels}
    for example in profile.examples:
        first, label = right[example.label], example.label
        if first != label:
            looks_alike = _looks_alike(first, label)
            what = (
                f"the labels {_quoted_label(first, looks_alike)} ({labels[first]:,} times) and "
                f"{_quoted_label(label, looks_alike)} ({labels[label]:,} times) "
                f"{'look the same.' if looks_alike else 'differ in case or white space only.'}"
            )
            fix = _NORMALIZE if looks_alike else ""
            yield _warning("label_spelling", what, example.place, example.output_path, fix=fix)


def _as_read(label: str) -> str:
    """Levels what a reader does not see, or does not mind, in a label."""
    return level_text(normalize("NFC", label))


def _looks_alike(one: str, other: str) -> bool:
    """Tells whether labels differ only in how Unicode writes their characters."""
    return normalize("NFC", one) == normalize("NFC", other)


def _quoted_label(label: str, looks_alike: bool) -> str:
    """Quotes a label, its code points where they alone tell it from another."""
    return json.dumps(label) if looks_alike else quote(label)


def _share_with_instruction(profile: DatasetProfile) -> float:
    """Counts the inputs that share a good piece of text with a fifth of the others."""
    common = common_pieces(profile.sketches)
    shared = [
        numpy.isin(sketch.hashes, common, assume_unique=True).sum() >= _INSTRUCTION_PIECES
        for sketch in profile.sketches
    ]
    return float(numpy.mean(shared))


def _unknown_labels(profile: DatasetProfile, labels: dict[str, int]) -> Iterator[Finding]:
    read = {_as_read(label): label for label in reversed(labels)}
    looked_at = 0
    for example in profile.examples:
        if example.label not in labels:
            looked_at += 1
            near = read.get(_as_read(example.label), "")
            if not near and looked_at <= _MOST_NEAR_LABELS:
                near = nearest(example.output_start, labels)
            looks_alike = bool(near) and _looks_alike(near, example.label)
            shown = _quoted_label(example.label or example.output_start, looks_alike)
            what = f"the label {shown} is not in the training set."
            fix = f"Did you mean {_quoted_label(near, looks_alike)}?" if near else ""
            fix += f" {_NORMALIZE}" if looks_alike else ""
            yield _warning("unknown_label", what, example.place, example.output_path, fix=fix)


def _warning(
    kind: str,
    what: str,
    place: Place | None = None,
    path: str = "",
    allowed: str = "",
    fix: str = "",
) -> Finding:
    line = place.line if place else 0
    full = ".".join(part for part in (place.path if place else "", path) if part)
    return Finding(kind, what, allowed, fix, Severity.WARNING, line, full)


def _show(place: Place) -> str:
    return f"line {place.line}" + (f", {place.path}" if place.path else "")
