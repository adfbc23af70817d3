"""Records and predictions made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kfp_llm_tuning.components.data.tasks import Task
from kfp_llm_tuning.components.evaluation.artifacts import (
    LabelScores,
    Prediction,
    PredictionInfo,
    PredictionSet,
)


@pytest.fixture
def preprocess(tmp_path: Path) -> Callable[[str, Sequence[tuple[str, str]]], Path]:
    """Writes text rows as preprocess-dataset does."""
    from kfp_llm_tuning.components.dataset.preprocess import (
        Source,
        preprocess_dataset,
        write_no_records,
    )
    from kfp_llm_tuning.components.models import byte_tiny

    def write(name: str, rows: Sequence[tuple[str, str]]) -> Path:
        folder = tmp_path / name
        if not rows:
            write_no_records("byte-tiny", folder)
            return folder
        source = tmp_path / f"{name}.jsonl"
        lines = [json.dumps({"input_text": i, "output_text": o}) for i, o in rows]
        source.write_text("\n".join(lines))
        preprocess_dataset(Source(str(source), "byte-tiny"), byte_tiny.build_tokenizer(), folder)
        return folder

    return write


@pytest.fixture
def history_folder(tmp_path: Path) -> Path:
    """What a short training run logs."""
    folder = tmp_path / "tensorboard"
    folder.mkdir()
    lines = [
        {"step": 10, "wall_time": 1.5, "/train_total_loss": 3.0},
        {"step": 20, "wall_time": 2.5, "/train_total_loss": 2.0, "/eval_total_loss": 2.5},
    ]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def predictions_of(
    answers: Sequence[str],
    references: Sequence[str],
    *,
    labels: Sequence[str] = (),
    log_likelihood: float = -2.0,
    **facts: object,
) -> PredictionSet:
    """Makes predictions; a label that is the answer gets 0.8 of the probability."""
    rows = [
        Prediction(
            line=number,
            turn=0,
            prompt=f"Question {number}",
            reference=reference,
            prediction=answer,
            tokens=len(answer),
            finished=True,
            reference_log_likelihood=log_likelihood * number,
            reference_tokens=len(reference) + 1,
        )
        for number, (answer, reference) in enumerate(zip(answers, references, strict=True), start=1)
    ]
    scores = [
        LabelScores(row.line, 0, [0.0] * len(labels), _shares(row.prediction, labels))
        for row in rows
        if labels
    ]
    facts.setdefault("task", Task.CLASSIFICATION if labels else Task.GENERATION)
    return PredictionSet(
        PredictionInfo(examples=len(rows), model="byte-tiny", labels=list(labels), **facts),  # type: ignore[arg-type]
        rows,
        scores,
    )


def _shares(answer: str, labels: Sequence[str]) -> list[float]:
    if answer not in labels:
        return [1 / len(labels)] * len(labels)
    return [0.8 if label == answer else 0.2 / (len(labels) - 1) for label in labels]


@pytest.fixture
def make_predictions() -> Callable[..., PredictionSet]:
    """Gives :func:`predictions_of` to tests."""
    return predictions_of
