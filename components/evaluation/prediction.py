"""Batch prediction: every prompt of an evaluation set answered and every reference scored."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.dataset.artifacts import (
    Record,
    RecordsInfo,
    read_records,
    read_records_info,
)
from kfp_llm_tuning.components.evaluation.artifacts import (
    LabelScores,
    Prediction,
    PredictionInfo,
    PredictionSet,
    write_predictions,
)
from kfp_llm_tuning.components.evaluation.labels import find_labels

if TYPE_CHECKING:
    from kfp_llm_tuning.components.dataset.prompts import PromptFormatter
    from kfp_llm_tuning.components.dataset.tokenization import Tokenization
    from kfp_llm_tuning.components.dataset.tokenization import Tokens as EncodedText
    from kfp_llm_tuning.components.evaluation.engine import Generation, TransformersEngine

_TUNING_FILE = "tuning.json"
# An untuned model seldom ends its answers: this many times the longest reference tell it as well as
# the model's own limit, in a fraction of the time.
_LENGTH_FACTOR = 2
_LENGTH_MARGIN = 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BaseModel:
    """Names an untuned model.

    Attributes:
        reference: A model reference, as the pipeline's ``large_model_reference``.
        tuning_method: Decides the limits with the two below, as in tuning.
        accelerator: "TPU" or "GPU".
        max_context_length: "8k", "32k", or empty.
    """

    reference: str
    tuning_method: str = "tune_v2"
    accelerator: str = "GPU"
    max_context_length: str = ""


@dataclass(frozen=True)
class _Model:
    """A model on this machine, ready to be loaded."""

    folder: Path
    name: str
    tuned: bool
    max_input_tokens: int
    max_output_tokens: int


@dataclass(frozen=True)
class _Questions:
    """An evaluation set in tokens."""

    records: Sequence[Record]
    references: Sequence[str]
    prompts: Sequence[EncodedText]
    completions: Sequence[EncodedText]
    stop_tokens: Sequence[int]
    labels: Sequence[str] = ()
    label_tokens: Sequence[Sequence[int]] = field(default=())


def batch_predict(
    evaluation_records: Path,
    training_records: Path,
    model: BaseModel | Path,
    output: Path,
) -> PredictionInfo:
    """Answers every prompt of an evaluation set and scores its references.

    Where the outputs of training and evaluation set look like labels (see ``find_labels``), every
    label is scored as well.

    Args:
        evaluation_records: Output folder of ``preprocess-dataset``; where it holds no record, no
            model is loaded and the result holds no prediction.
        training_records: The same of the training set; only its outputs are read.
        model: An untuned model, or the folder of a tuned one.
        output: Where the predictions go.

    Returns:
        What info.json holds.

    Raises:
        UserError: If the model cannot be found or read, or does not fit the records.
    """
    records_info = read_records_info(evaluation_records)
    if not records_info.examples:
        _log.info("No evaluation set: nothing to predict.")
        predicted = PredictionSet(PredictionInfo())
    else:
        predicted = _predict(evaluation_records, training_records, records_info, model)
    write_predictions(output, predicted)
    return predicted.info


def answer_limit(completions: Sequence[Sequence[int]], max_output_tokens: int) -> int:
    """Bounds the length of predictions.

    Args:
        completions: The references' tokens, at least one reference.
        max_output_tokens: The model's own limit.

    Returns:
        Twice the longest reference and 16 tokens more, or the model's own limit where that is less.
    """
    longest = max(map(len, completions))
    return min(max_output_tokens, _LENGTH_FACTOR * longest + _LENGTH_MARGIN)


def _predict(
    evaluation_records: Path,
    training_records: Path,
    records_info: RecordsInfo,
    named: BaseModel | Path,
) -> PredictionSet:
    from kfp_llm_tuning.components.dataset.prompts import prompt_formatter
    from kfp_llm_tuning.components.dataset.tokenization import Tokenization
    from kfp_llm_tuning.components.evaluation.engine import TransformersEngine

    start = time.monotonic()
    model = _tuned_model(named) if isinstance(named, Path) else _base_model(named)
    engine = TransformersEngine(model.folder)
    load_seconds = time.monotonic() - start
    formatter = prompt_formatter(engine.tokenizer, records_info.prompt_format)
    tokenization = Tokenization(
        engine.tokenizer, formatter, model.max_input_tokens, model.max_output_tokens
    )
    questions = _encode(
        list(read_records(evaluation_records)),
        [record.completion for record in read_records(training_records)],
        formatter,
        tokenization,
    )
    limit = answer_limit([c.ids for c in questions.completions], model.max_output_tokens)
    _log.info(
        "%s model %s on %s in %s: %d prompts, answers of at most %d tokens.",
        "Tuned" if model.tuned else "Base",
        model.name,
        engine.device.type,
        engine.precision,
        len(questions.records),
        limit,
    )
    start = time.monotonic()
    prompts = [prompt.ids for prompt in questions.prompts]
    generations = engine.generate(prompts, limit, questions.stop_tokens)
    generation_seconds = time.monotonic() - start
    start = time.monotonic()
    likelihoods, label_scores = _score(engine, questions)
    scoring_seconds = time.monotonic() - start
    return PredictionSet(
        PredictionInfo(
            examples=len(questions.records),
            model=model.name,
            tuned=model.tuned,
            labels=list(questions.labels),
            max_new_tokens=limit,
            max_new_tokens_rule=_limit_rule(model.max_output_tokens),
            unfinished=sum(not generation.finished for generation in generations),
            duplicate_prompts=len(prompts) - len(set(map(tuple, prompts))),
            truncated_inputs=sum(prompt.truncated for prompt in questions.prompts),
            truncated_outputs=sum(completion.truncated for completion in questions.completions),
            truncated_input_lines=_truncated_lines(questions.records, questions.prompts),
            truncated_output_lines=_truncated_lines(questions.records, questions.completions),
            precision=engine.precision,
            device=engine.device.type,
            load_seconds=round(load_seconds, 3),
            generation_seconds=round(generation_seconds, 3),
            scoring_seconds=round(scoring_seconds, 3),
            source_uri=records_info.source_uri,
            source_sha256=records_info.source_sha256,
        ),
        _predictions(questions, generations, likelihoods, engine),
        label_scores,
    )


def _base_model(named: BaseModel) -> _Model:
    from kfp_llm_tuning.components.tuning.base_models import materialise
    from kfp_llm_tuning.components.tuning.model_references import resolve

    reference = resolve(
        named.reference, named.tuning_method, named.accelerator, named.max_context_length
    )
    return _Model(
        materialise(reference),
        reference.name,
        tuned=False,
        max_input_tokens=reference.max_input_tokens,
        max_output_tokens=reference.max_output_tokens,
    )


def _tuned_model(folder: Path) -> _Model:
    try:
        facts = json.loads((folder / _TUNING_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            Problem(
                f"{folder} is no tuned model: {error}",
                "saved_model",
                "the output saved_model of large-language-model-tuner",
                "Give any other folder as model_reference.",
            )
        ) from error
    return _Model(
        folder,
        facts["model_reference"],
        tuned=True,
        max_input_tokens=facts["max_input_tokens"],
        max_output_tokens=facts["max_output_tokens"],
    )


def _encode(
    records: Sequence[Record],
    training_completions: Sequence[str],
    formatter: PromptFormatter,
    tokenization: Tokenization,
) -> _Questions:
    completions = [record.completion for record in records]
    # What the format writes after an answer is no part of it.
    labels = find_labels(
        text.removesuffix(formatter.end) for text in [*completions, *training_completions]
    )
    return _Questions(
        records=records,
        references=[text.removesuffix(formatter.end) for text in completions],
        prompts=tokenization.prompts(
            [record.prompt for record in records], [record.head for record in records]
        ),
        completions=tokenization.completions(completions),
        stop_tokens=tokenization.stop_token_ids,
        labels=labels,
        label_tokens=[
            tokens.ids
            for tokens in tokenization.completions([label + formatter.end for label in labels])
        ],
    )


def _score(
    engine: TransformersEngine, questions: _Questions
) -> tuple[Sequence[float], list[LabelScores]]:
    """Scores the references, and every label where there are labels: a reference is one of them."""
    import numpy as np

    prompts = [prompt.ids for prompt in questions.prompts]
    if not questions.labels:
        completions = [completion.ids for completion in questions.completions]
        return engine.score(prompts, completions).tolist(), []
    scores = engine.score_choices(prompts, questions.label_tokens)
    relative = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = relative / relative.sum(axis=1, keepdims=True)
    label_scores = [
        LabelScores(record.line, record.turn, row.tolist(), shares.tolist())
        for record, row, shares in zip(questions.records, scores, probabilities, strict=True)
    ]
    numbers = {label: number for number, label in enumerate(questions.labels)}
    own = [scores[row, numbers[reference]] for row, reference in enumerate(questions.references)]
    return [float(score) for score in own], label_scores


def _predictions(
    questions: _Questions,
    generations: Sequence[Generation],
    likelihoods: Sequence[float],
    engine: TransformersEngine,
) -> list[Prediction]:
    texts = engine.decode([generation.tokens for generation in generations])
    return [
        Prediction(
            line=record.line,
            turn=record.turn,
            prompt=record.prompt,
            reference=questions.references[row],
            prediction=texts[row],
            tokens=len(generations[row].tokens),
            finished=generations[row].finished,
            reference_log_likelihood=likelihoods[row],
            reference_tokens=len(questions.completions[row].ids),
        )
        for row, record in enumerate(questions.records)
    ]


def _truncated_lines(records: Sequence[Record], texts: Sequence[EncodedText]) -> list[int]:
    pairs = zip(records, texts, strict=True)
    return sorted({record.line for record, text in pairs if text.truncated})


def _limit_rule(max_output_tokens: int) -> str:
    return (
        f"{_LENGTH_FACTOR} x the longest reference + {_LENGTH_MARGIN} tokens, "
        f"at most the model's {max_output_tokens:,}"
    )
