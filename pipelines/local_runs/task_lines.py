"""Which lines of a task's output a person is shown: what the component says, not its libraries."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

# KFP's prefix of every log line of a component; task_process.py adds a library's name.
_PREFIX = re.compile(r"^\[KFP Executor \S+ \S+ (?P<level>[A-Z]+)(?: (?P<library>[\w.-]+))?\]: ?")
# What KFP's launcher says of itself, where its lines have no name: in containers. The second is
# followed by a page of JSON.
_LAUNCHER = ("Looking for component", "Loading KFP component", "Wrote executor output file")
_INPUT_BEGINS, _INPUT_ENDS = "Got executor_input:", "}"
# Begins what the runner itself warns of in a task's log.
RUNNER_WARNS = "Warning: "


@dataclass(frozen=True)
class LogLine:
    """A line that a person is shown.

    Attributes:
        text: Without prefix and newline.
        warning: Whether it warns of something, or tells of an error.
    """

    text: str
    warning: bool = False


class LineFilter:
    """Leaves of a task's output what the component itself said, and what libraries warn of."""

    def __init__(self) -> None:
        """Begins outside of the launcher's page of JSON."""
        self._inside_input = False

    def filter(self, line: str) -> LogLine | None:
        """Decides on one line.

        Args:
            line: Without its newline; lines must come in their order.

        Returns:
            The line as it is shown; None where the launcher or a library speaks.
        """
        prefix = _PREFIX.match(line)
        text = line[prefix.end() :] if prefix else line
        if self._inside_input:
            self._inside_input = line != _INPUT_ENDS
            return None
        warning = prefix is not None and _level(prefix["level"]) >= logging.WARNING
        if prefix and prefix["library"] and not warning:
            return None
        if text.startswith(_INPUT_BEGINS):
            self._inside_input = True
            return None
        if not text.strip() or text.startswith(_LAUNCHER):
            return None
        return LogLine(text.removeprefix(RUNNER_WARNS), warning or text.startswith(RUNNER_WARNS))


def _level(name: str) -> int:
    return logging.getLevelNamesMapping().get(name, logging.INFO)
