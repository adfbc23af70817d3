"""The record of one run on this machine, from which it is resumed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.folders import write_atomically

FILE = "run.json"
STATES = ("running", "succeeded", "failed", "interrupted")


@dataclass(frozen=True)
class TaskRecord:
    """What became of one task in the last try.

    Attributes:
        name: The task's name in its graph.
        state: succeeded, cached, failed or interrupted.
        seconds: Wall-clock time.
        outputs: Parameter values, and the path of each artifact.
        problems: The mistakes that it told of, where it failed for a user's.
    """

    name: str
    state: str
    seconds: float = 0.0
    outputs: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run.

    Attributes:
        template: The pipeline's name.
        parameters: As given, in their types.
        labels: Of the run and of the model that it registers.
        state: One of ``STATES``.
        started_at: UTC, ISO 8601.
        seconds: Wall-clock time of the last try.
        tasks: Those of the last try that have ended.
        directory: The run's folder when it was made; empty in records of older versions. The
            folder's name is the run's id for good, and paths that the run wrote down are below it.
    """

    template: str
    parameters: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = "running"
    started_at: str = ""
    seconds: float = 0.0
    tasks: tuple[TaskRecord, ...] = ()
    directory: str = ""


def write(directory: Path, record: RunRecord) -> None:
    """Writes the record of a run."""
    text = json.dumps(dataclasses.asdict(record), indent=2, default=str)
    write_atomically(directory / FILE, text + "\n")


def read(directory: Path) -> RunRecord:
    """Reads the record of a run.

    Args:
        directory: The run's folder.

    Returns:
        The record.

    Raises:
        UserError: If there is none, or if it is damaged or of a newer version.
    """
    try:
        return _parsed(json.loads((directory / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            Problem(
                f"{directory} is no run that can be resumed: {_reason(error)}.",
                FILE,
                fix="Put its record back, or start a new run without --resume.",
            )
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError):
        return f"its record is damaged ({error})"
    return str(error)


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "template": lambda value: isinstance(value, str) and bool(value),
    "parameters": lambda value: isinstance(value, dict),
    "labels": lambda value: isinstance(value, dict) and _all_texts(value.values()),
    "state": lambda value: value in STATES,
    "started_at": lambda value: isinstance(value, str),
    "seconds": lambda value: isinstance(value, int | float),
    "tasks": lambda value: _read_tasks(value) is not None,
    "directory": lambda value: isinstance(value, str),
}


def _all_texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _parsed(document: Any) -> RunRecord:
    if not isinstance(document, dict):
        raise ValueError("its record is no JSON object")
    if unknown := sorted(set(document) - set(_CHECKS)):
        raise ValueError(f"its record is of a newer version (it has {', '.join(unknown[:3])})")
    required = {"template", "parameters"} - set(document)
    wrong = {name for name, value in document.items() if not _CHECKS[name](value)}
    if damaged := sorted(required | wrong):
        raise ValueError(f"its record is damaged ({', '.join(damaged)})")
    return RunRecord(**document | {"tasks": _read_tasks(document.get("tasks", [])) or ()})


def _read_tasks(value: Any) -> tuple[TaskRecord, ...] | None:
    """Reads the tasks of a record; None where they are damaged."""
    try:
        return msgspec.convert(value, tuple[TaskRecord, ...])
    except msgspec.ValidationError:
        return None
