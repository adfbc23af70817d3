"""What ``batch-predict`` leaves for ``evaluate-model`` and for people: files of one folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.folders import write_atomically
from kfp_llm_tuning.components.data.tasks import Task

_PREDICTIONS_FILE = "predictions.jsonl"
_LABELS_FILE = "labels.jsonl"
_INFO_FILE = "info.json"
# A folder without it holds no predictions.
PREDICTIONS_WRITTEN_LAST = (_INFO_FILE,)

_Line = TypeVar("_Line", bound=msgspec.Struct)


class Prediction(msgspec.Struct, frozen=True):
    """One answer: a line of predictions.jsonl, in the order of the evaluation set.

    Attributes:
        line: Line of the evaluation set's file, from 1.
        turn: Which assistant message of a conversation, from 0.
        prompt: What the model was given.
        reference: The answer in the evaluation set.
        prediction: The model's answer, chosen greedily.
        tokens: Tokens of the prediction.
        finished: Whether the model ended its answer; False where ``max_new_tokens`` cut it.
        reference_log_likelihood: Natural logarithm of the reference's probability, end included.
        reference_tokens: Tokens of the reference, its end included.
        question: The last message of the prompt alone, without what was said before it and without
            what the format puts around it; empty where it is not known.
    """

    line: int
    turn: int
    prompt: str
    reference: str
    prediction: str
    tokens: int
    finished: bool
    reference_log_likelihood: float
    reference_tokens: int
    question: str = ""


class LabelScores(msgspec.Struct, frozen=True):
    """What a model thinks of every label: a line of labels.jsonl, beside that of predictions.jsonl.

    Attributes:
        line: As in ``Prediction``.
        turn: As in ``Prediction``.
        log_likelihoods: Natural logarithm of the probability of each label of info.json.
        probabilities: The same, divided by their sum over the labels.
    """

    line: int
    turn: int
    log_likelihoods: list[float]
    probabilities: list[float]


class PredictionInfo(msgspec.Struct, frozen=True):
    """What info.json says of predictions.jsonl.

    Attributes:
        examples: Predictions; 0 where no evaluation set was given, and then no model was loaded.
        model: The model's reference, or the base reference of a tuned model.
        tuned: Whether a tuned model predicted.
        task: What the training and the evaluation set together ask for.
        labels: The labels of a classification task, two at least, sorted; empty for others.
        max_new_tokens: Most tokens of a prediction.
        max_new_tokens_rule: Where that comes from.
        unfinished: Predictions that it cut.
        duplicate_prompts: Prompts that equal an earlier one and were computed once.
        truncated_inputs: Prompts cut to the model's limit.
        truncated_outputs: References cut to the model's limit before they were scored.
        truncated_input_lines: Lines of the cut prompts.
        truncated_output_lines: Lines of the cut references.
        precision: Floating-point type of the model.
        device: "cpu" or "cuda".
        load_seconds: To bring and load the model.
        generation_seconds: To write all predictions.
        scoring_seconds: To score references and labels.
        source_uri: The evaluation set.
        source_sha256: Digest of its content.
        failure: Why there are no predictions although there is an evaluation set; else empty.
    """

    examples: int = 0
    model: str = ""
    tuned: bool = False
    task: Task = Task.GENERATION
    labels: list[str] = []
    max_new_tokens: int = 0
    max_new_tokens_rule: str = ""
    unfinished: int = 0
    duplicate_prompts: int = 0
    truncated_inputs: int = 0
    truncated_outputs: int = 0
    truncated_input_lines: list[int] = []
    truncated_output_lines: list[int] = []
    precision: str = ""
    device: str = ""
    load_seconds: float = 0.0
    generation_seconds: float = 0.0
    scoring_seconds: float = 0.0
    source_uri: str = ""
    source_sha256: str = ""
    failure: str = ""


class PredictionSet(msgspec.Struct, frozen=True):
    """The whole folder.

    Attributes:
        info: Content of info.json.
        predictions: Lines of predictions.jsonl.
        label_scores: Lines of labels.jsonl; empty for generation.
    """

    info: PredictionInfo
    predictions: Sequence[Prediction] = ()
    label_scores: Sequence[LabelScores] = ()


def write_predictions(folder: Path, predicted: PredictionSet) -> None:
    """Writes the folder; info.json comes last, so that a folder with it is whole.

    Args:
        folder: Where the files go; made where it is not there.
        predicted: Their content. labels.jsonl is written for classification only.
    """
    write_atomically(folder / _PREDICTIONS_FILE, _lines(predicted.predictions))
    if predicted.info.labels:
        write_atomically(folder / _LABELS_FILE, _lines(predicted.label_scores))
    info = msgspec.json.format(msgspec.json.encode(predicted.info))
    write_atomically(folder / _INFO_FILE, info + b"\n")


def read_predictions(folder: Path) -> PredictionSet:
    """Reads the folder that ``batch-predict`` wrote.

    Args:
        folder: Output of ``batch-predict``.

    Returns:
        Its content.

    Raises:
        UserError: If the folder is no such output.
    """
    try:
        info = msgspec.json.decode((folder / _INFO_FILE).read_bytes(), type=PredictionInfo)
        predictions = _read_lines(folder / _PREDICTIONS_FILE, Prediction)
        scores = _read_lines(folder / _LABELS_FILE, LabelScores) if info.labels else []
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(
            Problem(f"{folder} holds no predictions: {error}", allowed="an output of batch-predict")
        ) from error
    return PredictionSet(info, predictions, scores)


def _lines(values: Iterable[msgspec.Struct]) -> bytes:
    return msgspec.json.Encoder().encode_lines(values)


def _read_lines(path: Path, kind: type[_Line]) -> list[_Line]:
    return msgspec.json.Decoder(kind).decode_lines(path.read_bytes())
