"""The folder of one run on this machine, and the record in it from which a run is resumed."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import write_atomically

_RECORD = "run.json"
LATEST = "latest"


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run.

    Attributes:
        template: The pipeline's name.
        parameters: As given, in their types.
        labels: Of the run and of the model that it registers.
        state: running, succeeded, failed or interrupted.
        started_at: UTC, ISO 8601.
        seconds: Wall-clock time of the last try.
        tasks: Name, state and seconds of each task of the last try.
    """

    template: str
    parameters: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = "running"
    started_at: str = ""
    seconds: float = 0.0
    tasks: tuple[Mapping[str, Any], ...] = field(default_factory=tuple)


def create(
    output_directory: Path,
    template: str,
    parameters: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
) -> Path:
    """Makes the folder of a new run, named by model and time.

    Args:
        output_directory: The folder of all runs.
        template: The pipeline's name.
        parameters: As given, in their types.
        labels: Of the run.

    Returns:
        The folder, with its record.
    """
    now = datetime.now(UTC)
    called = str(parameters.get("model_display_name") or template)
    name = re.sub(r"[^a-zA-Z0-9]+", "-", called).strip("-").lower()
    stem = f"{name[:40] or 'run'}-{now:%Y%m%d-%H%M%S}"
    directory = output_directory / stem
    for number in range(2, 1000):
        try:
            directory.mkdir(parents=True)
            break
        except FileExistsError:
            directory = output_directory / f"{stem}-{number}"
    started_at = now.isoformat(timespec="microseconds")
    write(directory, RunRecord(template, parameters, dict(labels or {}), started_at=started_at))
    return directory.resolve()


def write(directory: Path, record: RunRecord) -> None:
    """Writes the record of a run."""
    text = json.dumps(dataclasses.asdict(record), indent=2, default=str)
    write_atomically(directory / _RECORD, text + "\n")


def read(directory: Path) -> RunRecord:
    """Reads the record of a run.

    Args:
        directory: The run's folder.

    Returns:
        The record.

    Raises:
        UserError: If the folder is no run.
    """
    try:
        return RunRecord(**json.loads((directory / _RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            Problem(f"{directory} is no run that can be resumed: {error}", "--resume")
        ) from error


def find(output_directory: Path, name: str) -> Path:
    """Finds the run to resume.

    Args:
        output_directory: The folder of all runs.
        name: A run's name, its folder, or ``latest``: the last begun that did not succeed.

    Returns:
        The run's folder.

    Raises:
        UserError: If there is none.
    """
    if name != LATEST:
        for directory in (output_directory / name, Path(name)):
            if (directory / _RECORD).is_file():
                return directory.resolve()
        raise UserError(
            Problem(
                f"no run {name!r} in {output_directory}.",
                "--resume",
                allowed=_known(output_directory),
            )
        )
    unfinished = [
        (record.started_at, directory)
        for directory in _runs(output_directory)
        if (record := read(directory)).state != "succeeded"
    ]
    if not unfinished:
        raise UserError(
            Problem(
                f"no unfinished run in {output_directory}.",
                "--resume",
                fix="Start a new one without --resume, or give --output-dir.",
            )
        )
    return max(unfinished)[1].resolve()


def _runs(output_directory: Path) -> list[Path]:
    return sorted(record.parent for record in output_directory.glob(f"*/{_RECORD}"))


def _known(output_directory: Path) -> str:
    return ", ".join(directory.name for directory in _runs(output_directory)) or "none yet"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds a run's folder, so that two commands never work in it at the same time.

    Args:
        directory: The run's folder.

    Yields:
        Nothing; the kernel frees the lock when the process ends, however it ends.

    Raises:
        UserError: If another command holds it.
    """
    with (directory / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                Problem(f"the run {directory.name} is still at work.", fix="Wait until it ends.")
            ) from error
        yield
