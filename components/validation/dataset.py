"""Checks the training and the evaluation set of one tuning run: errors, warnings, figures."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy
from numpy.typing import NDArray

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.common.train_on import TrainOn
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.held_out import hold_out
from kfp_llm_tuning.components.data.reading.findings import (
    Finding,
    Findings,
    Severity,
    name_files,
)
from kfp_llm_tuning.components.data.reading.row_format import find_format
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.data.sources.files import check_source
from kfp_llm_tuning.components.data.training_steps import RunLength, training_steps
from kfp_llm_tuning.components.models.implemented import no_engine
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.parameters.reading import limit_problems
from kfp_llm_tuning.components.parameters.tuner import read_further
from kfp_llm_tuning.components.validation.advice import Dataset, advise
from kfp_llm_tuning.components.validation.base_model import (
    ExaminedModel,
    examine,
)
from kfp_llm_tuning.components.validation.count_rules import (
    check_evaluation_counts,
    check_steps,
    check_training_counts,
)
from kfp_llm_tuning.components.validation.dataset_reader import DatasetReader, NamedDataset
from kfp_llm_tuning.components.validation.evaluation_source import held_out_twice
from kfp_llm_tuning.components.validation.lengths import LengthCounts
from kfp_llm_tuning.components.validation.regions import ACCELERATORS, offered_accelerators
from kfp_llm_tuning.components.validation.summarise import (
    ScannedDataset,
    list_bounds,
    summarise,
    summarise_finding,
)
from kfp_llm_tuning.components.validation.summary import StepsSummary, Summary
from kfp_llm_tuning.components.validation.tokens import TokenCounter, compare_reasoning

MAX_PRINTED_PROBLEMS = 20

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What is to be checked.

    Attributes:
        dataset_uri: The training set, as `data.sources.files.list_files` takes it.
        evaluation_data_uri: The evaluation set; empty for none.
        evaluation_fraction: The share of the training set that is held out, in the place of an
            evaluation set; 0 for none.
        seed: Of the choice of what is held out.
        large_model_reference: The model, which decides format, limits, tokenizer and batch size.
        default_context: Context of conversations that have none; not for text.
        train_steps: Optimiser steps, for the number of epochs; 0 or less: the method's own.
        epochs: Passes in the place of train_steps, as in `training_steps.RunLength`.
        tuning_method: As in `model_references.resolve`.
        accelerator_type: "GPU"; "TPU" is refused; empty means GPU.
        max_context_length: As in `model_references.resolve`.
        strict: Whether warnings refuse the dataset too.
        max_printed_problems: How many errors, warnings and notes, each, are told in full.
        tuner_arguments: The root input; a batch_size in it takes the place of the model's.
        dataset_format: A choice of the root input; empty to find each set's from its rows.
        train_on: Which answers of training conversations are learned, as in `TrainOn`.
    """

    dataset_uri: str
    evaluation_data_uri: str = ""
    evaluation_fraction: float = 0.0
    seed: int = 0
    large_model_reference: str = "text-bison@001"
    default_context: str = ""
    train_steps: int = 300
    epochs: float = 0.0
    tuning_method: str = "tune_v2"
    accelerator_type: str = ""
    max_context_length: str = ""
    strict: bool = False
    max_printed_problems: int = MAX_PRINTED_PROBLEMS
    tuner_arguments: Mapping[str, Any] = field(default_factory=dict)
    dataset_format: str = ""
    train_on: str = "all"


@dataclass(frozen=True)
class Histograms:
    """Values that the report draws but the summary does not hold.

    Attributes:
        input_tokens: One a training example.
        output_tokens: One a training completion.
    """

    input_tokens: LengthCounts
    output_tokens: LengthCounts


@dataclass(frozen=True)
class Validation:
    """Everything that a check found.

    Attributes:
        summary: The figures and the printed findings.
        findings: All counts and the kept findings; strict mode is already applied.
        histograms: For the report.
    """

    summary: Summary
    findings: Findings
    histograms: Histograms


def validate_dataset(request: Request) -> Validation:
    """Checks every row of both sets; a bad dataset is a result, not an exception.

    Args:
        request: What is to be checked.

    Returns:
        The result; ``summary.valid`` says whether the dataset may be tuned on.

    Raises:
        UserError: If a parameter is wrong, a file cannot be opened or the model is unknown; all of
            these together.
    """
    return _Validator(request).run()


class _Validator:
    """One check of one request."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._accelerator = request.accelerator_type.upper() or "GPU"
        problems = [*_check_parameters(request)]
        with collect(problems):
            self._model = resolve(
                request.large_model_reference,
                request.tuning_method,
                self._accelerator,
                request.max_context_length,
            )
        for uri in filter(None, (request.dataset_uri, request.evaluation_data_uri)):
            with collect(problems):
                check_source(uri)
        raise_all(problems)
        self._format = self._find_format(request.dataset_uri)
        self._evaluation_format = self._format
        if request.evaluation_data_uri:
            self._evaluation_format = self._find_evaluation_format()
        self._findings = Findings(request.max_printed_problems)
        self._examined = ExaminedModel()

    def run(self) -> Validation:
        request, limits = self._request, self._model.dataset_limits
        kinds = (self._format.row_format, self._evaluation_format.row_format)
        if request.default_context and RowFormat.TEXT in kinds:
            self._findings.add(_context_with_text())
        reader = DatasetReader(self._model, self._findings, self._examine_model())
        names = name_files(request.dataset_uri, request.evaluation_data_uri)
        whole = NamedDataset(request.dataset_uri, names[0], self._format)
        held_out = self._hold_out()
        rest = None if held_out is None else ~held_out
        training = reader.read(whole, rest, train_on=TrainOn(request.train_on))
        kind = self._format.row_format
        self._add(check_training_counts(training.scan, kind, limits), training)
        evaluation = None
        if request.evaluation_data_uri:
            evaluation = reader.read(
                NamedDataset(request.evaluation_data_uri, names[1], self._evaluation_format)
            )
        elif held_out is not None:
            evaluation = reader.read(whole, held_out, known=True)
        if evaluation:
            self._add(check_evaluation_counts(evaluation.scan, limits), evaluation)
            self._add(compare_reasoning(training.tokens, evaluation.tokens), evaluation)
        self._advise(training, evaluation)
        steps = self._steps(training)
        if steps:
            self._add(check_steps(steps), training)
        return self._result(training, evaluation, steps)

    def _examine_model(self) -> TokenCounter | None:
        """Examines the model; gives what counts its tokens, if anything can."""
        self._examined = examine(self._model, self._format.row_format == RowFormat.CHAT)
        for finding in self._examined.findings:
            self._findings.add(finding)
        if self._examined.tokenizer is None:
            return None
        return TokenCounter(self._examined.tokenizer, self._model, self._request.default_context)

    def _find_format(self, uri: str) -> Format:
        return find_format(uri, self._model, self._request.dataset_format)

    def _find_evaluation_format(self) -> Format:
        """Finds the evaluation set's own format; of one name both sets are of one kind."""
        found = self._find_format(self._request.evaluation_data_uri)
        return self._format if found.name == self._format.name else found

    def _hold_out(self) -> NDArray[numpy.bool_] | None:
        """Chooses the rows to evaluate on; None where none are, or can be, held out."""
        request = self._request
        if not request.evaluation_fraction:
            return None
        try:
            return hold_out(
                request.dataset_uri,
                self._format,
                request.evaluation_fraction,
                request.seed,
                self._model.dataset_limits,
            )
        except UserError as error:
            for wrong in error.problems:
                finding = Finding("nothing_held_out", wrong.what, wrong.allowed, wrong.fix)
                self._findings.add(replace(finding, path=wrong.where))
            return None

    def _add(self, findings: Iterable[Finding], checked: ScannedDataset) -> None:
        for finding in findings:
            self._findings.add(finding.of(checked.scan.name))

    def _advise(self, training: ScannedDataset, evaluation: ScannedDataset | None) -> None:
        other = Dataset(evaluation.scan.name, evaluation.profile) if evaluation else None
        try:
            for finding in advise(Dataset(training.scan.name, training.profile), other):
                self._findings.add(finding)
        except Exception:
            # Advice on good rows is no condition of tuning on them.
            _logger.exception("Duplicates, labels and repetitions were not all looked at.")

    def _steps(self, training: ScannedDataset) -> StepsSummary | None:
        examples = training.scan.answers
        if not examples:
            return None
        further, _ = read_further(self._request.tuner_arguments)
        batch = self._model.batch_size(self._accelerator, further.get("batch_size", 0))
        length = RunLength(self._model.steps(self._request.train_steps), self._request.epochs)
        try:
            chosen = training_steps(length, training.profile.tasks.task, examples, batch)
        except UserError as error:
            for wrong in error.problems:
                finding = Finding("too_many_steps", wrong.what, wrong.allowed, wrong.fix)
                self._findings.add(replace(finding, path=wrong.where))
            return None
        seen = chosen.steps * batch
        return StepsSummary(chosen.steps, batch, seen, seen / examples, chosen.reason)

    def _result(
        self,
        training: ScannedDataset,
        evaluation: ScannedDataset | None,
        steps: StepsSummary | None,
    ) -> Validation:
        strict = self._request.strict
        findings = self._findings.with_warnings_as_errors() if strict else self._findings
        errors = findings.total(Severity.ERROR)
        checked = [training, evaluation] if evaluation else [training]
        summary = Summary(
            valid=not errors,
            model_unchecked=self._examined.unchecked,
            strict=strict,
            model_reference=self._request.large_model_reference,
            checkpoint=self._model.checkpoint_at_revision,
            row_format=self._format.row_format,
            training=summarise(training, self._model),
            evaluation=summarise(evaluation, self._model) if evaluation else None,
            steps=steps,
            errors=errors,
            warnings=findings.total(Severity.WARNING),
            errors_by_kind=findings.by_kind(Severity.ERROR),
            warnings_by_kind=findings.by_kind(Severity.WARNING),
            findings=[
                summarise_finding(found) for level in Severity for found in findings.printed(level)
            ],
            bounded=[sentence for entry in checked for sentence in list_bounds(entry)],
        )
        tokens = training.tokens
        lengths = (tokens.inputs, tokens.outputs) if tokens else (LengthCounts(), LengthCounts())
        return Validation(summary, findings, Histograms(*lengths))


def _check_parameters(request: Request) -> Iterator[Problem]:
    """Checks what the pipeline's own check has passed, for those who use this component alone."""
    if not request.dataset_uri:
        yield Problem("is empty.", "dataset_uri", "the URI of a JSONL file")
    for name in ("evaluation_fraction", "seed", "epochs"):
        yield from limit_problems(getattr(request, name), TEXT[name])
    if request.evaluation_data_uri and request.evaluation_fraction:
        yield held_out_twice()
    accelerator, offered = request.accelerator_type.upper(), ", ".join(offered_accelerators())
    if accelerator not in ("", *ACCELERATORS):
        what = f"{request.accelerator_type!r} is unknown."
        yield Problem(what, "accelerator_type", offered)
    elif refusal := no_engine("tune", accelerator):
        yield Problem(refusal, "accelerator_type", offered)
    if (most := request.max_printed_problems) < 1:
        yield Problem(f"{most} is too few.", "max_printed_problems", "1 or more")
    yield from read_further(request.tuner_arguments)[1]
    for name in ("dataset_format", "train_on"):
        yield from limit_problems(getattr(request, name), TEXT[name])


def _context_with_text() -> Finding:
    return Finding(
        "context_with_text",
        "default_context is given, but the rows are text.",
        "default_context with chat rows only",
        "Leave it empty, or put it at the beginning of every input_text.",
        path="default_context",
    )
