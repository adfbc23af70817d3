"""The tuner's history.jsonl: the curves of a training run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kfp_llm_tuning.components.common.errors import Problem, UserError

_HISTORY_FILE = "history.jsonl"

# The steps and the values of a tag.
Curve = tuple[list[float], list[float]]


def read_history(folder: Path) -> dict[str, Curve]:
    """Reads every curve of a training run.

    Args:
        folder: Output ``tensorboard_metrics`` of ``large-language-model-tuner``.

    Returns:
        Steps and values of each tag, ascending; empty where the run logged nothing.

    Raises:
        UserError: If the folder has no readable history.jsonl.
    """
    try:
        content = (folder / _HISTORY_FILE).read_bytes()
        lines = msgspec.json.Decoder(dict[str, float]).decode_lines(content)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(
            Problem(
                f"{folder} holds no training history: {error}",
                "tensorboard_metrics",
                "the output of that name of large-language-model-tuner",
            )
        ) from error
    curves: dict[str, Curve] = {}
    for line in lines:
        step = line.pop("step")
        for tag, value in line.items():
            steps, values = curves.setdefault(tag, ([], []))
            steps.append(step)
            values.append(value)
    return curves
