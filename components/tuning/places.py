"""Where a run reads and writes: as the user names it, and on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TuningPlaces:
    """Where a run reads and writes: local paths, or any URIs that fsspec opens.

    Attributes:
        train_dataset: Output folder of dataset-encoder.
        evaluation_dataset: Output folder of evaluation-dataset-encoder; empty for none.
        output: Where the saved model goes.
        metrics: Where event files and history.jsonl go.
        checkpoints: Where checkpoints are kept; the same folder resumes the run.
        tracking_uri: MLflow tracking URI of the run that it is part of; empty: of none.
    """

    train_dataset: str
    evaluation_dataset: str
    output: str
    metrics: str
    checkpoints: str
    tracking_uri: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        """All that it reads and writes as files."""
        return (
            self.train_dataset,
            self.evaluation_dataset,
            self.output,
            self.metrics,
            self.checkpoints,
        )


@dataclass(frozen=True)
class TuningPaths:
    """Where a run reads and writes.

    Attributes:
        train_dataset: Output folder of dataset-encoder.
        evaluation_dataset: Output folder of evaluation-dataset-encoder; its set may be empty.
        output: Where the saved model goes.
        metrics: Where event files and history.jsonl go.
        checkpoints: Where checkpoints are kept; the same folder resumes the run.
    """

    train_dataset: Path
    evaluation_dataset: Path | None
    output: Path
    metrics: Path
    checkpoints: Path
