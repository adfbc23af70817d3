"""Reads one set of a tuning run, or the part of a file that is one: figures, advice, lengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import repeat

import numpy
from numpy.typing import NDArray

from kfp_llm_tuning.components.common.dataset_formats import FormatName
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.train_on import TrainOn
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.reading.findings import Finding, Findings, Severity
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rendering.prompts import UnusableTemplateError
from kfp_llm_tuning.components.data.rows import Row, count_answers, count_messages
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.validation.base_model import model_finding
from kfp_llm_tuning.components.validation.dataset_profile import DatasetProfile
from kfp_llm_tuning.components.validation.row_advice import advise_row
from kfp_llm_tuning.components.validation.summarise import ScannedDataset, list_notes
from kfp_llm_tuning.components.validation.tokens import TokenCounter, TokenCounts


@dataclass(frozen=True)
class NamedDataset:
    """A set before it is read.

    Attributes:
        uri: What names it.
        name: What it is called in findings.
        format: The format of its rows.
    """

    uri: str
    name: str
    format: Format


class DatasetReader:
    """Reads the sets of one run for one model."""

    def __init__(
        self, model: ModelReference, findings: Findings, counter: TokenCounter | None
    ) -> None:
        """Starts with no set read.

        Args:
            model: Decides how many rows are looked at.
            findings: Takes what is found.
            counter: Counts tokens as the model reads rows; None where nothing can be counted.
        """
        self._model = model
        self._findings = findings
        self._counter = counter
        # The set that is being read, until its first good row is counted.
        self._uncounted: NamedDataset | None = None

    def read(
        self,
        dataset: NamedDataset,
        part: NDArray[numpy.bool_] | None = None,
        *,
        known: bool = False,
        train_on: TrainOn = TrainOn.ALL,
    ) -> ScannedDataset:
        """Reads a set, or the part of a file that is one.

        Args:
            dataset: The file, or files.
            part: Whether each good row belongs to the part; None for the whole set.
            known: Whether what is wrong with the other rows was told already.
            train_on: Which answers of its conversations are learned.

        Returns:
            What was found of it.

        Raises:
            UserError: If a file cannot be found or opened.
        """
        profile = DatasetProfile()
        is_dialogue = dataset.format.name == FormatName.PUBLISHED
        rows = repeat(True) if part is None else iter(part)
        messages = learned = 0

        def report(finding: Finding) -> None:
            self._findings.add(finding.of(dataset.name))

        def visit(place: Place, row: Row) -> None:
            nonlocal messages, learned
            if not next(rows):
                return
            messages += count_messages([row])
            learned += count_answers([row])
            profile.add(place, row)
            for finding in advise_row(place, row, is_dialogue=is_dialogue):
                report(finding)
            self._count_tokens(place, row, report)

        self._uncounted = dataset
        findings = Findings(0) if known else self._findings
        window = self._model.dataset_limits.advised_on
        scanned = scan(dataset.uri, dataset.format, findings, visit, window, dataset.name, train_on)
        if part is not None:
            scanned = scanned.part(len(profile.examples), messages, learned, with_bad=not known)
        checked = ScannedDataset(scanned, profile, self._finish_counting())
        if not known:
            for finding in list_notes(checked):
                report(finding)
        return checked

    def _count_tokens(self, place: Place, row: Row, report: Callable[[Finding], object]) -> None:
        if not self._counter:
            return
        try:
            # The first good row tells the counter of its set.
            if self._uncounted:
                self._counter.start(self._uncounted.uri, self._uncounted.format, report)
                self._uncounted = None
            self._counter.add(place, row)
        except UserError as error:
            self._refuse_model(error)

    def _finish_counting(self) -> TokenCounts | None:
        if not self._counter or self._uncounted:
            return None
        try:
            return self._counter.finish()
        except UserError as error:
            self._refuse_model(error)
            return None

    def _refuse_model(self, error: UserError) -> None:
        """Tells what the model's own files keep from being done with any row."""
        unusable = isinstance(error, UnusableTemplateError)
        for problem in error.problems:
            finding = model_finding(problem, Severity.ERROR)
            self._findings.add(replace(finding, kind="unusable_template") if unusable else finding)
        self._counter = None
