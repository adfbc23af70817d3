"""The folders of the runs on this machine: making one, finding the one to resume, holding it."""

from __future__ import annotations

import errno
import fcntl
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import make_folder
from kfp_llm_tuning.pipelines.local_runs import run_record
from kfp_llm_tuning.pipelines.local_runs.run_record import RunRecord

LATEST = "latest"
_LOCK = ".lock"
# Below a run's folder: data that lies nowhere else, such as that of a data frame.
DATA = "data"
# Of the runs in a folder, so many are named where another was asked for.
_NAMED = 10


def create(
    output_directory: Path,
    template: str,
    parameters: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
    own_data: Mapping[str, Path] | None = None,
) -> Path:
    """Makes the folder of a new run, named by model and time.

    Args:
        output_directory: The folder of all runs.
        template: The pipeline's name.
        parameters: As given, in their types.
        labels: Of the run.
        own_data: Files that become the run's own, by the parameter that names each; they are moved
            into its folder.

    Returns:
        The folder, with its record.
    """
    now = datetime.now(UTC)
    called = str(parameters.get("model_display_name") or template)
    name = re.sub(r"[^a-zA-Z0-9]+", "-", called).strip("-").lower()
    directory = _new_folder(output_directory, f"{name[:40] or 'run'}-{now:%Y%m%d-%H%M%S}").resolve()
    moved = {name: str(directory / DATA / file.name) for name, file in (own_data or {}).items()}
    record = RunRecord(
        template,
        {**parameters, **moved},
        dict(labels or {}),
        started_at=now.isoformat(timespec="microseconds"),
        directory=str(directory),
    )
    try:
        for name, file in (own_data or {}).items():
            (directory / DATA).mkdir(exist_ok=True)
            shutil.move(file, moved[name])
        run_record.write(directory, record)
    except OSError:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return directory


def _new_folder(output_directory: Path, stem: str) -> Path:
    make_folder(output_directory, "--output-dir")
    directory = output_directory / stem
    number = 1
    while True:
        try:
            directory.mkdir()
        except FileExistsError:
            number += 1
            directory = output_directory / f"{stem}-{number}"
        else:
            return directory


@dataclass(frozen=True)
class FoundRun:
    """The run to resume.

    Attributes:
        directory: Its folder.
        passed_over: Why runs that may be younger were not chosen.
    """

    directory: Path
    passed_over: tuple[str, ...] = ()


def find(output_directory: Path, name: str, templates: Collection[str]) -> FoundRun:
    """Finds the run to resume.

    Args:
        output_directory: The folder of all runs.
        name: A run's name, its folder, or ``latest``: the last begun that did not succeed.
        templates: The pipelines whose runs the caller can resume.

    Returns:
        The run; its record can be read, and its pipeline is one of the templates.

    Raises:
        UserError: If there is none.
    """
    if name == LATEST:
        return _latest(output_directory, templates)
    directory = named(output_directory, name, "--resume")
    template = run_record.read(directory).template
    if template not in templates:
        raise UserError(
            Problem(
                f"{directory.name} is a run of the pipeline {template!r}.",
                "--resume",
                f"runs of {', '.join(templates)}",
                "Resume it with the program that started it.",
            )
        )
    return FoundRun(directory)


def named(output_directory: Path, name: str, where: str) -> Path:
    """Finds a run.

    Args:
        output_directory: The folder of all runs.
        name: A run's name, or its folder.
        where: The option or argument that names it, for messages.

    Returns:
        Its folder.

    Raises:
        UserError: If there is none.
    """
    for directory in (output_directory / name, Path(name)):
        try:
            if (directory / run_record.FILE).is_file():
                return directory.resolve()
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
    what = f"no run {name!r} in {output_directory}."
    raise UserError(Problem(what, where, allowed=_known(output_directory)))


def _latest(output_directory: Path, templates: Collection[str]) -> FoundRun:
    unfinished, passed_over = [], []
    for directory in runs_in(output_directory):
        try:
            record = run_record.read(directory)
        except UserError as error:
            passed_over.append(f"{error.problems[0].what} It is passed over.")
            continue
        if record.state != "succeeded" and record.template in templates:
            unfinished.append((record.started_at, directory))
    if not unfinished:
        fix = "Start a new one without --resume, or give --output-dir."
        none = Problem(f"no unfinished run in {output_directory}.", "--resume", fix=fix)
        raise UserError(*passed_over, none)
    return FoundRun(max(unfinished)[1].resolve(), tuple(passed_over))


def runs_in(output_directory: Path) -> list[Path]:
    """Lists the folders of the runs in a folder, by name."""
    return sorted(record.parent for record in output_directory.glob(f"*/{run_record.FILE}"))


def _known(output_directory: Path) -> str:
    names = [directory.name for directory in runs_in(output_directory)]
    more = [f"and {len(names) - _NAMED} older ones"] if len(names) > _NAMED else []
    return ", ".join(names[-_NAMED:] + more) or "none yet"


def is_at_work(directory: Path) -> bool:
    """Tells whether a command holds a run's folder."""
    try:
        with (directory / _LOCK).open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


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
    with (directory / _LOCK).open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                Problem(
                    f"the run {directory.name} is still at work in another command.",
                    fix="Wait until it ends, or name another run.",
                )
            ) from error
        yield
