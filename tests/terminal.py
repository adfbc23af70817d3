"""A program on a pseudo-terminal, and what a person then sees of it."""

from __future__ import annotations

import codecs
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyte
from ptyprocess import PtyProcess

# What decides on colours and widths, and a developer may have set.
_DISPLAY_VARIABLES = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "CI")
_PATIENCE_SECONDS = 240.0


class Terminal:
    """Runs a program in a terminal of its own and keeps all that it shows.

    Attributes:
        typescript: Everything that the program wrote, control sequences and all.
        exit_code: Of the program, once ``wait`` has returned; negative for a signal.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Starts the program.

        Args:
            command: The program and its arguments.
            columns: Of the terminal.
            rows: Of the terminal.
            environment: What is set beside the variables of this process.
            cwd: Where it starts; here by default.
        """
        self.typescript = ""
        self.exit_code: int | None = None
        self._screen = pyte.HistoryScreen(columns, rows, history=100_000)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        variables = {
            name: value for name, value in os.environ.items() if name not in _DISPLAY_VARIABLES
        }
        self._process = PtyProcess.spawn(
            list(command),
            cwd=str(cwd) if cwd else None,
            env={**variables, "TERM": "xterm-256color", **(environment or {})},
            dimensions=(rows, columns),
        )

    def wait_for(self, text: str) -> None:
        """Reads until the text stands on the screen or above it.

        Raises:
            AssertionError: If the program ends without it, or takes minutes.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while text not in self.shown:
            assert self._read(), f"ended without {text!r}:\n{self.shown}"
            assert time.monotonic() < deadline, f"no {text!r}:\n{self.shown}"

    def interrupt(self) -> None:
        """Presses Ctrl-C: the terminal's whole foreground group is told."""
        self._process.sendintr()

    def type(self, text: str) -> None:
        """Types the text."""
        self._process.write(text.encode())

    def wait(self) -> int:
        """Reads until the program ends.

        Returns:
            Its exit code; negative for a signal.
        """
        while self._read():
            pass
        self._process.wait()
        ended = self._process.exitstatus
        self.exit_code = ended if ended is not None else -int(self._process.signalstatus or 0)
        return self.exit_code

    def close(self) -> None:
        """Ends the program if it still runs."""
        if self._process.isalive():
            self._process.kill(signal.SIGKILL)

    @property
    def lines(self) -> list[str]:
        """What a person sees who scrolls up to the start, without blanks at the end."""
        width = range(self._screen.columns)
        above = ["".join(row[column].data for column in width) for row in self._screen.history.top]
        return [line.rstrip() for line in (*above, *self._screen.display)]

    @property
    def shown(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines).rstrip()

    def _read(self) -> bool:
        try:
            data = self._process.read(65536)
        except EOFError:
            return False
        text = self._decoder.decode(data)
        self.typescript += text
        self._stream.feed(text)
        return True


def look(command: Sequence[str], **options: object) -> Terminal:
    """Runs a program in a terminal to its end.

    Args:
        command: The program and its arguments.
        **options: Of the Terminal.

    Returns:
        The terminal, with what it shows.
    """
    terminal = Terminal(command, **options)  # type: ignore[arg-type]
    terminal.wait()
    return terminal
