"""Batch prediction: every prompt of an evaluation set answered and every reference scored."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kfp_llm_tuning.components.data.artifacts import (
    Record,
    RecordsInfo,
    read_records,
    read_records_info,
)
from kfp_llm_tuning.components.data.rendering.control_tokens import without_marks
from kfp_llm_tuning.components.evaluation.artifacts import (
    LabelScores,
    Prediction,
    PredictionInfo,
    PredictionSet,
    write_predictions,
)
from kfp_llm_tuning.components.evaluation.local_model import (
    BaseModelReference,
    LocalModel,
    fetch_model,
)
from kfp_llm_tuning.components.generation.engine import GenerationRequest

if TYPE_CHECKING:
    from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization, Tokens
    from kfp_llm_tuning.components.evaluation.evaluation_set import EvaluationSet
    from kfp_llm_tuning.components.generation.engine import Engine, Generation

# An untuned model seldom ends its answers: this many times the longest reference tell it as well as
# the model's own limit, in a fraction of the time.
_LENGTH_FACTOR = 2
_LENGTH_MARGIN = 16

_log = logging.getLogger(__name__)


def batch_predict(
    evaluation_records: Path,
    training_records: Path,
    model: BaseModelReference | Path,
    output: Path,
) -> PredictionInfo:
    """Answers every prompt of an evaluation set and scores its references.

    Where the outputs of training and evaluation set look like labels (see ``TaskFinder``), every
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
    named: BaseModelReference | Path,
) -> PredictionSet:
    from kfp_llm_tuning.components.generation.engines import open_engine

    with _Stopwatch() as loading:
        model = fetch_model(named)
        engine = open_engine(model.folder)
    with closing(engine):
        predicted = _ask(engine, model, evaluation_records, training_records, records_info)
    info = msgspec.structs.replace(
        predicted.info,
        precision=engine.precision,
        device=engine.device,
        load_seconds=loading.seconds,
        source_uri=records_info.source_uri,
        source_sha256=records_info.source_sha256,
    )
    return msgspec.structs.replace(predicted, info=info)


def _ask(
    engine: Engine,
    model: LocalModel,
    evaluation_records: Path,
    training_records: Path,
    records_info: RecordsInfo,
) -> PredictionSet:
    from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
    from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization
    from kfp_llm_tuning.components.evaluation.evaluation_set import encode_evaluation_set

    formatter = prompt_formatter(engine.tokenizer, records_info.prompt_format)
    tokenization = Tokenization(
        engine.tokenizer, formatter, model.max_input_tokens, model.max_output_tokens
    )
    evaluation_set = encode_evaluation_set(
        list(read_records(evaluation_records)),
        read_records(training_records),
        tokenization,
    )
    limit = answer_limit([c.ids for c in evaluation_set.completions], model.max_output_tokens)
    _log_start(model, engine, evaluation_set, limit)
    with _Stopwatch() as generating:
        generations = engine.generate(
            [
                GenerationRequest(prompt.ids, limit, evaluation_set.stop_tokens)
                for prompt in evaluation_set.prompts
            ]
        )
    answers = _written_answers(engine, tokenization, generations)
    with _Stopwatch() as scoring:
        likelihoods, label_scores = _score(engine, evaluation_set)
    return PredictionSet(
        msgspec.structs.replace(
            _describe(model, evaluation_set, answers, limit),
            generation_seconds=generating.seconds,
            scoring_seconds=scoring.seconds,
        ),
        _predictions(evaluation_set, answers, likelihoods),
        label_scores,
    )


class _Answer(NamedTuple):
    text: str
    finished: bool
    tokens: int


class _Stopwatch:
    """Times a block."""

    seconds = 0.0

    def __enter__(self) -> _Stopwatch:
        self._start = time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = round(time.monotonic() - self._start, 3)


def _log_start(
    model: LocalModel, engine: Engine, evaluation_set: EvaluationSet, limit: int
) -> None:
    _log.info(
        "%s model %s on %s in %s: %d prompts, answers of at most %d tokens.",
        "Tuned" if model.tuned else "Base",
        model.name,
        engine.device,
        engine.precision,
        len(evaluation_set.records),
        limit,
    )


def _describe(
    model: LocalModel, evaluation_set: EvaluationSet, answers: Sequence[_Answer], limit: int
) -> PredictionInfo:
    prompts, completions = evaluation_set.prompts, evaluation_set.completions
    return PredictionInfo(
        examples=len(evaluation_set.records),
        model=model.name,
        tuned=model.tuned,
        task=evaluation_set.task,
        labels=list(evaluation_set.labels),
        max_new_tokens=limit,
        max_new_tokens_rule=_limit_rule(model.max_output_tokens),
        unfinished=sum(not answer.finished for answer in answers),
        duplicate_prompts=len(prompts) - len({tuple(prompt.ids) for prompt in prompts}),
        truncated_inputs=sum(prompt.truncated for prompt in prompts),
        truncated_outputs=sum(completion.truncated for completion in completions),
        truncated_input_lines=_truncated_lines(evaluation_set.records, prompts),
        truncated_output_lines=_truncated_lines(evaluation_set.records, completions),
    )


def _score(
    engine: Engine, evaluation_set: EvaluationSet
) -> tuple[Sequence[float], list[LabelScores]]:
    """Scores the references, and every label where there are labels: a reference is one of them."""
    import numpy as np

    prompts = [prompt.ids for prompt in evaluation_set.prompts]
    if not evaluation_set.labels:
        completions = [completion.ids for completion in evaluation_set.completions]
        return engine.score(prompts, completions).tolist(), []
    scores = engine.score_choices(prompts, evaluation_set.label_tokens)
    relative = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = relative / relative.sum(axis=1, keepdims=True)
    label_scores = [
        LabelScores(record.line, record.turn, row.tolist(), shares.tolist())
        for record, row, shares in zip(evaluation_set.records, scores, probabilities, strict=True)
    ]
    numbers = {label: number for number, label in enumerate(evaluation_set.labels)}
    own = [
        scores[row, numbers[reference.strip()]]
        for row, reference in enumerate(evaluation_set.references)
    ]
    return [float(score) for score in own], label_scores


def _written_answers(
    engine: Engine, tokenization: Tokenization, generations: Sequence[Generation]
) -> list[_Answer]:
    texts = engine.decode(
        [generation.tokens for generation in generations], tokenization.inner_token_ids
    )
    answers = []
    for text, generation in zip(texts, generations, strict=True):
        content, ended = tokenization.before_stop_text(text)
        answers.append(_Answer(content, generation.finished or ended, len(generation.tokens)))
    return answers


def _predictions(
    evaluation_set: EvaluationSet, answers: Sequence[_Answer], likelihoods: Sequence[float]
) -> list[Prediction]:
    return [
        Prediction(
            line=record.line,
            turn=record.turn,
            prompt=without_marks(record.prompt),
            reference=evaluation_set.references[row],
            prediction=answers[row].text,
            tokens=answers[row].tokens,
            finished=answers[row].finished,
            reference_log_likelihood=likelihoods[row],
            reference_tokens=len(evaluation_set.completions[row].ids),
            question=without_marks(record.question_text),
        )
        for row, record in enumerate(evaluation_set.records)
    ]


def _truncated_lines(records: Sequence[Record], texts: Sequence[Tokens]) -> list[int]:
    pairs = zip(records, texts, strict=True)
    return sorted({record.line for record, text in pairs if text.truncated})


def _limit_rule(max_output_tokens: int) -> str:
    return (
        f"{_LENGTH_FACTOR} x the longest reference + {_LENGTH_MARGIN} tokens, "
        f"at most the model's {max_output_tokens:,}"
    )
