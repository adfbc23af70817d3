"""What a run remembers beside Trainer's own state, and the file of a checkpoint that holds it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kfp_llm_tuning.components.tuning.early_stopping import BestStep, EarlyStopping

_FILE = "tuner_state.json"


@dataclass
class RunState:
    """State that a resumed run takes over.

    Attributes:
        early_stopping: The evaluations so far, as early stopping sees them.
        best: Step of the best evaluation.
        finished: Whether the run has come to its end: all steps, or early stopping.
        seconds: Training time, sessions before a resume included.
        bf16: Whether it computes in bfloat16; None in a checkpoint that does not say.
    """

    early_stopping: EarlyStopping
    best: BestStep = field(default_factory=BestStep)
    finished: bool = False
    seconds: float = 0.0
    bf16: bool | None = None

    def save(self, folder: Path, sums: Sequence[float]) -> None:
        """Writes the state into a checkpoint.

        Args:
            folder: The checkpoint.
            sums: Sums since the last logging, over all processes.
        """
        content = dataclasses.asdict(self) | {"sums": list(sums)}
        (folder / _FILE).write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> tuple[RunState, list[float]]:
        """Reads what :meth:`save` wrote.

        Args:
            folder: A whole checkpoint.

        Returns:
            The state, and the sums.
        """
        saved = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        state = cls(
            early_stopping=EarlyStopping(**saved["early_stopping"]),
            best=BestStep(**saved["best"]),
            finished=saved["finished"],
            seconds=saved["seconds"],
            bf16=saved.get("bf16"),
        )
        return state, saved["sums"]
