"""One error type for a user's mistakes, and the exit codes that tell them from ours."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kfp_llm_tuning.components.common.credentials import hide_credentials, hide_credentials_in_logs
from kfp_llm_tuning.components.common.wording import shorten

EXIT_USER_ERROR = 1
EXIT_INTERNAL_ERROR = 13
# EX_TEMPFAIL of sysexits.h: the same command, run again, goes on where this one stopped.
EXIT_RUN_AGAIN = 75
# Names a file that takes the mistakes which end the process: its runner advises by them.
PROBLEMS_VARIABLE = "KFP_LLM_TUNING_PROBLEMS"
# What a machine refuses, or has not got: whoever runs it can mend that, and we cannot.
_OF_THE_MACHINE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
)
# The same, as libraries of C, C++ and Rust say it: safetensors, SQLite, torch.
_MACHINE_TEXTS = re.compile(
    "No space left on device|os error 28|database or disk is full|Disk quota exceeded"
    "|File too large|Read-only file system|attempt to write a readonly database"
    "|PytorchStreamWriter failed|file write failed|inline_container.*unexpected pos"
)
# What of an error's problems is shown: so many of them, each so long, so much of all.
_SHOWN_PROBLEMS = 100
_SHOWN_CHARACTERS_EACH = 2_000
_SHOWN_CHARACTERS = 20_000


@dataclass(frozen=True)
class Problem:
    """One mistake, told so that its reader can mend it; secrets in its URIs are hidden.

    Attributes:
        what: What is wrong, with the offending value.
        where: The parameter, or the file with its line and field.
        allowed: What would be accepted.
        fix: What to do.
    """

    what: str
    where: str = ""
    allowed: str = ""
    fix: str = ""

    def __post_init__(self) -> None:
        """Hides passwords: messages end up in logs, reports and records."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, hide_credentials(getattr(self, field.name)))

    def __str__(self) -> str:
        """Joins the parts into one line."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.allowed:
            text += f" Allowed: {self.allowed}."
        if self.fix:
            text += f" {self.fix}"
        return text


class UserError(Exception):
    """A user's mistake or several: shown without a traceback, exit code 1.

    Attributes:
        problems: Every mistake found, in the order found.
    """

    def __init__(self, *problems: Problem | str) -> None:
        """Keeps the problems; a plain string is a problem that says only what is wrong."""
        if not problems:
            raise ValueError("UserError needs at least one problem.")
        self.problems: tuple[Problem, ...] = tuple(
            Problem(problem) if isinstance(problem, str) else problem for problem in problems
        )
        super().__init__(format_problems(self.problems))


class RunAgain(Exception):
    """The work was interrupted after saving its state: the same command goes on from there."""


def format_problems(problems: Sequence[Problem]) -> str:
    """Writes one problem as a line, several as a counted list.

    Args:
        problems: At least one problem.

    Returns:
        The text, without a newline at its end; of very many or very long problems the first.
    """
    texts: list[str] = []
    left = _SHOWN_CHARACTERS
    for problem in problems[:_SHOWN_PROBLEMS]:
        texts.append(shorten(str(problem), _SHOWN_CHARACTERS_EACH))
        left -= len(texts[-1])
        if left < 0:
            break
    if len(problems) == 1:
        return texts[0]
    lines = [f"{len(problems):,} problems:"]
    lines += [f"  {number}. {text}" for number, text in enumerate(texts, start=1)]
    if hidden := len(problems) - len(texts):
        lines.append(f"  ... and {hidden:,} more.")
    return "\n".join(lines)


def raise_all(problems: Sequence[Problem]) -> None:
    """Raises one error that holds every problem; does nothing where there are none.

    Args:
        problems: What was found.

    Raises:
        UserError: If there is at least one problem.
    """
    if problems:
        raise UserError(*problems)


@contextmanager
def collect(problems: list[Problem]) -> Iterator[None]:
    """Adds a user's mistakes to a list, to be raised later with others.

    Args:
        problems: Takes the problems.
    """
    try:
        yield
    except UserError as error:
        problems += error.problems


def error_sentence(error: Exception) -> str:
    """Says what went wrong in one sentence, for a report: a user's mistake needs no class name."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def machine_problem(error: BaseException) -> Problem | None:
    """Finds what of an error is the machine's: a full disk, a folder that may not be written to.

    Args:
        error: What was raised; what caused it is looked at too.

    Returns:
        The problem; None where the error has another cause.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _OF_THE_MACHINE:
            where = os.fspath(seen.filename) if isinstance(seen.filename, str | Path) else ""
            return Problem(f"{seen.strerror}.", where, fix=_MACHINE_FIX)
        if _MACHINE_TEXTS.search(str(seen)):
            return Problem(f"{str(seen).splitlines()[0]}.", fix=_MACHINE_FIX)
        seen = seen.__cause__ or seen.__context__
    return None


_MACHINE_FIX = "Mend that on this machine, or name another folder; then try again."


def read_problems(path: Path) -> tuple[Problem, ...]:
    """Reads what a process wrote to the file that ``PROBLEMS_VARIABLE`` names.

    Args:
        path: The file.

    Returns:
        The mistakes that ended it; none where it ended otherwise.
    """
    try:
        return tuple(Problem(**entry) for entry in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return ()


def _end_with(error: UserError) -> None:
    if path := os.environ.get(PROBLEMS_VARIABLE):
        entries = [dataclasses.asdict(problem) for problem in error.problems]
        with suppress(OSError):  # Of a full disk, say: the message below is what counts.
            Path(path).write_text(json.dumps(entries), encoding="utf-8")
    sys.stderr.write(f"Error: {error}\n")
    sys.exit(EXIT_USER_ERROR)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Ends the process as the design's table of exit codes says; wraps every component's body.

    Raises:
        SystemExit: 1 for a user's mistake or what the machine refuses (message only), 75 for work
            that asks to be run again, 13 for anything else (with its traceback).
    """
    hide_credentials_in_logs()
    try:
        yield
    except UserError as error:
        _end_with(error)
    except RunAgain as error:
        sys.stderr.write(f"Interrupted: {error}\n")
        sys.exit(EXIT_RUN_AGAIN)
    except Exception as error:
        if problem := machine_problem(error):
            _end_with(UserError(problem))
        sys.stderr.write(hide_credentials(traceback.format_exc()))
        sys.stderr.write(
            "Internal error: this is a fault of kfp-llm-tuning, not of your data or parameters. "
            "Please report it with the traceback above.\n"
        )
        sys.exit(EXIT_INTERNAL_ERROR)
