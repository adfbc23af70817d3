"""Findings that refuse no dataset but deserve a look: duplicates, conflicts, leakage, labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from unicodedata import normalize

import numpy
from numpy.typing import NDArray

from kfp_llm_tuning.components.common.wording import nearest
from kfp_llm_tuning.components.data.reading.field_names import quote
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.similarity.files import ChainedSketches
from kfp_llm_tuning.components.data.similarity.inputs import level_text
from kfp_llm_tuning.components.data.similarity.near_duplicates import (
    NearDuplicates,
    sampled,
    sampled_common_pieces,
)
from kfp_llm_tuning.components.data.similarity.sketches import Hashes, count_shared
from kfp_llm_tuning.components.validation.dataset_profile import DatasetProfile, ExampleFile
from kfp_llm_tuning.components.validation.row_advice import warning

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

    @cached_property
    def common_pieces(self) -> Hashes:
        """What stands in a fifth of its inputs."""
        return sampled_common_pieces(self.profile.sketches, self.profile.examples.inputs)


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
            for finding in _repetitions(dataset.profile.examples):
                yield finding.of(dataset.name)
    yield from _one_class(training, evaluation)
    if evaluation:
        for finding in _leakage(training.profile, evaluation.profile):
            yield finding.of(evaluation.name)
    yield from _near_duplicates(training, evaluation)
    labels = training.profile.tasks.labels
    if len(labels) > 1:
        for finding in _advise_labels(training, labels):
            yield finding.of(training.name)
    if labels and evaluation:
        for finding in _unknown_labels(evaluation.profile, labels):
            yield finding.of(evaluation.name)


def _one_class(training: Dataset, evaluation: Dataset | None) -> Iterator[Finding]:
    consequences = [
        (training, "the model learns to answer this whatever it is asked"),
        (evaluation, "a model that always answers this cannot be told from a good one"),
    ]
    for dataset, consequence in consequences:
        labels = list(dataset.profile.tasks.labels) if dataset else []
        if dataset and len(labels) == 1:
            what = f"every output is {quote(labels[0])}: {consequence}."
            finding = warning("one_class", what, fix="Add examples with other outputs.")
            yield finding.of(dataset.name)


def _repetitions(examples: ExampleFile) -> Iterator[Finding]:
    same, same_firsts = _repeated(examples.exact)
    for number, first_number in zip(*_repeated(examples.inputs), strict=True):
        example = examples[number]
        place = numpy.searchsorted(same, number)
        if place < len(same) and same[place] == number:
            what = f"the same example stands at {examples[same_firsts[place]].place}."
            yield warning("duplicate", what, example.place)
            continue
        first = examples[first_number]
        if first.output == example.output:
            what = f"the same but for case or white space stands at {first.place}."
            yield warning("near_duplicate", what, example.place)
        else:
            what = (
                f"the same input has another output at {first.place}: "
                f"{quote(first.output_start)} there, {quote(example.output_start)} here."
            )
            yield warning("conflict", what, example.place)


def _repeated(values: NDArray[numpy.uint64]) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
    """Finds the numbers of values that stood before, each with that of the first, ascending."""
    order = numpy.argsort(values, kind="stable")
    ascending = values[order]
    is_new = numpy.ones(len(order), numpy.bool_)
    is_new[1:] = ascending[1:] != ascending[:-1]
    del ascending
    runs = numpy.cumsum(is_new, dtype=numpy.int32)[~is_new] - 1
    later, firsts = order[~is_new], order[is_new][runs]
    by_row = numpy.argsort(later)
    return later[by_row], firsts[by_row]


def _leakage(training: DatasetProfile, evaluation: DatasetProfile) -> Iterator[Finding]:
    known, firsts = numpy.unique(training.examples.inputs, return_index=True)
    asked = evaluation.examples.inputs
    if not len(known):
        return
    places = numpy.minimum(numpy.searchsorted(known, asked), len(known) - 1)
    for number in numpy.flatnonzero(known[places] == asked):
        place = training.examples[int(firsts[places[number]])].place
        what = f"the same input is trained on, at {place} of the training set."
        fix = "Remove it from one of the sets: it makes the evaluation look too good."
        yield warning("leakage", what, evaluation.examples[int(number)].place, fix=fix)


def _near_duplicates(training: Dataset, evaluation: Dataset | None) -> Iterator[Finding]:
    """Finds inputs that are nearly but not quite the same, within and across the sets."""
    datasets = [dataset for dataset in (training, evaluation) if dataset]
    sketches = ChainedSketches([dataset.profile.sketches for dataset in datasets])
    inputs = [dataset.profile.examples.inputs for dataset in datasets]
    keys = inputs[0] if len(inputs) == 1 else numpy.concatenate(inputs)
    common = None if evaluation else training.common_pieces
    for pair in NearDuplicates(sketches, keys, common=common).pairs():
        (first_set, first), (second_set, second) = (
            (datasets[part], datasets[part].profile.examples[number])
            for part, number in map(sketches.part_of, (pair.first, pair.second))
        )
        share = f"{pair.likeness:.0%} alike"
        if first_set is second_set:
            what = f"nearly the same input ({share}) stands at {first.place}."
            kind = "near_duplicate"
        else:
            what = (
                f"nearly the same input ({share}) is trained on, at {first.place} "
                "of the training set."
            )
            kind = "near_leakage"
        yield warning(kind, what, second.place).of(second_set.name)


def _advise_labels(training: Dataset, labels: dict[str, int]) -> Iterator[Finding]:
    for example in training.profile.examples:
        if labels[example.label] == 1:
            near = nearest(example.label, [name for name in labels if labels[name] > 1])
            fix = f"Did you mean {quote(near)}?" if near else "Add examples of it."
            what = f"the label {quote(example.label)} occurs once."
            yield warning("rare_label", what, example.place, example.output_path, fix=fix)
    yield from _label_spellings(training.profile, labels)
    share = _share_with_instruction(training)
    if share < 0.5:
        what = (
            f"the outputs look like {len(labels)} labels, but "
            f"{1 - share:.0%} of the inputs have no instruction in common."
        )
        fix = (
            'Begin every input as in "Classify the following text into one of the following '
            'classes: [...] Text: ".'
        )
        yield warning("no_instruction", what, fix=fix)


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
            yield warning("label_spelling", what, example.place, example.output_path, fix=fix)


def _as_read(label: str) -> str:
    """Levels what a reader does not see, or does not mind, in a label."""
    return level_text(normalize("NFC", label))


def _looks_alike(one: str, other: str) -> bool:
    """Tells whether labels differ only in how Unicode writes their characters."""
    return normalize("NFC", one) == normalize("NFC", other)


def _quoted_label(label: str, looks_alike: bool) -> str:
    """Quotes a label, its code points where they alone tell it from another."""
    return json.dumps(label) if looks_alike else quote(label)


def _share_with_instruction(dataset: Dataset) -> float:
    """Counts the inputs that share a good piece of text with a fifth of the others."""
    sketches, common = dataset.profile.sketches, dataset.common_pieces
    shared = [
        count_shared(sketches[number], common) >= _INSTRUCTION_PIECES
        for number in sampled(dataset.profile.examples.inputs).tolist()
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
            yield warning("unknown_label", what, example.place, example.output_path, fix=fix)
