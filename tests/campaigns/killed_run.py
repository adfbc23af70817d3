"""One run on this machine that is killed at given moments and resumed until it is done."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil

from kfp_llm_tuning.pipelines.local_runs.run_processes import kill

COMMAND = (sys.executable, "-m", "kfp_llm_tuning.pipelines.cli", "run")
EXAMPLE = Path(__file__).parents[2] / "examples" / "support"
# Before the first task and between tasks, the command itself is at work.
START = "(command)"
_LOOK_SECONDS = 0.04
# No task of these runs works for so long on a machine that is shared.
_PATIENCE_SECONDS = 600.0
_INTERNAL_ERROR = 13
# What the command prints as a task begins and as it ends: tasks share the command line of the
# process that they are forked from.
_TASK = re.compile(r"^  (\S) ([\w-]+)", re.MULTILINE)
_BEGUN = "…"


@dataclass(frozen=True, order=True)
class Moment:
    """A point in a run's life.

    Attributes:
        number: Of the task in the order of the timeline.
        task: The task at work.
        seconds: Since its process was seen.
    """

    number: int
    task: str
    seconds: float


@dataclass(frozen=True)
class Timeline:
    """When each task of an undisturbed run began.

    Attributes:
        starts: Task and seconds since the command began, in order; the command's own start first.
        seconds: The whole of it.
        registry_made: When the registry was there, in seconds since the command began.
    """

    starts: Sequence[tuple[str, float]]
    seconds: float
    registry_made: float

    def moment(self, seconds: float) -> Moment:
        """Finds what is at work so many seconds after the start."""
        ends = [*(start for _, start in self.starts[1:]), float("inf")]
        number = next(index for index, end in enumerate(ends) if seconds < end)
        task, start = self.starts[number]
        return Moment(number, task, seconds - start)

    def number(self, task: str) -> int:
        """Gives a task's place in the order; -1 where none is at work."""
        names = [name for name, _ in self.starts]
        return names.index(task) if task in names else -1

    def span(self, task: str) -> tuple[float, float]:
        """Gives the seconds in which a task works, or what comes after it before the next."""
        for (name, start), (_, end) in pairwise([*self.starts, ("", self.seconds)]):
            if name == task:
                return start, end
        raise KeyError(task)


def _signal(number: int) -> Callable[[psutil.Process], None]:
    return lambda command: command.send_signal(number)


def _kill_task(command: psutil.Process) -> None:
    """Kills the task's processes, as a machine does that has no memory left."""
    kill(command.children(recursive=True) or [command])


def _kill_all(command: psutil.Process) -> None:
    """Kills everything, as a power cut does."""
    kill([command, *command.children(recursive=True)])


METHODS: Mapping[str, Callable[[psutil.Process], None]] = {
    "kill command": _signal(signal.SIGKILL),
    "kill task": _kill_task,
    "kill all": _kill_all,
    "SIGTERM": _signal(signal.SIGTERM),
    "SIGINT": _signal(signal.SIGINT),
}


@dataclass(frozen=True)
class Kill:
    """One kill that was done.

    Attributes:
        task: The task at work, or the command itself between tasks.
        method: A name of ``METHODS``.
        exit_code: The command's, negative for a signal.
    """

    task: str
    method: str
    exit_code: int


@dataclass
class KilledRun:
    """A run in an output folder, which other runs may share.

    Attributes:
        output: The output folder.
        name: Of the model; no other run in the folder has it.
        kills: Those done so far.
        faults: What no command may do, whatever was killed.
    """

    output: Path
    name: str
    kills: list[Kill] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _printed_before: int = 0

    def live(self, plan: Sequence[tuple[Moment, str]], timeline: Timeline) -> None:
        """Runs, is killed at every moment and resumed, and goes on to the end.

        Args:
            plan: Moments in the order of the timeline, and the method of each kill.
            timeline: Of an undisturbed run.
        """
        for moment, method in plan:
            process = self._start()
            if not self._wait_for(process, moment, timeline):
                return self._end(process)
            task = self._task() or START
            METHODS[method](psutil.Process(process.pid))
            self.kills.append(Kill(task, method, self._exit_code(process)))
        return self._end(self._start())

    def timeline(self) -> Timeline:
        """Runs undisturbed, and notes when each task began."""
        begun = time.monotonic()
        process = self._start()
        starts, registry_made = [(START, 0.0)], 0.0
        while process.poll() is None:
            if not registry_made and (self.output / "mlflow.db").exists():
                registry_made = time.monotonic() - begun
            if (task := self._task()) and task not in dict(starts):
                starts.append((task, time.monotonic() - begun))
            time.sleep(_LOOK_SECONDS)
        self._end(process)
        return Timeline(starts, time.monotonic() - begun, registry_made)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if code := self._exit_code(process):
            self.faults.append(f"ends with exit code {code}")

    def _exit_code(self, process: subprocess.Popen[bytes]) -> int:
        try:
            code = process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            _kill_all(psutil.Process(process.pid))
            code = process.wait()
            self.faults.append(f"did not end within {_PATIENCE_SECONDS:.0f} seconds")
        if code == _INTERNAL_ERROR:
            self.faults.append("tells of a fault of ours (exit code 13)")
        return code

    def _start(self) -> subprocess.Popen[bytes]:
        with self._printed.open("ab") as printed:
            self._printed_before = printed.tell()
            return subprocess.Popen(
                [*COMMAND, *self._words(), "--output-dir", str(self.output)],
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_for(
        self, process: subprocess.Popen[bytes], moment: Moment, timeline: Timeline
    ) -> bool:
        """Waits for a moment; says whether the command is still at work then.

        Tasks that wait for nothing come in any order: where the moment's was done before, that of a
        later one does as well.
        """
        while moment.number > 0 and timeline.number(self._task()) < moment.number:
            if process.poll() is not None:
                return False
            time.sleep(_LOOK_SECONDS)
        time.sleep(moment.seconds)
        return process.poll() is None

    def _task(self) -> str:
        """Names the task that the command has at work; empty where there is none."""
        text = self._printed.read_bytes()[self._printed_before :].decode(errors="replace")
        *_, (mark, name) = ("", ""), *_TASK.findall(text)
        return name if mark == _BEGUN else ""

    @property
    def _printed(self) -> Path:
        return self.output / f"{self.name}.txt"

    def _words(self) -> Sequence[str]:
        for record in self.output.glob(f"{self.name}-*/run.json"):
            return ["--resume", record.parent.name]
        options = {
            "--model-display-name": self.name,
            "--large-model-reference": "byte-tiny",
            "--dataset-uri": str(self.output / "train.jsonl"),
            "--evaluation-data-uri": str(self.output / "evaluation.jsonl"),
            "--train-steps": "12",
            "--evaluation-interval": "3",
        }
        return [word for option in options.items() for word in option]


def write_data(output: Path) -> None:
    """Writes a few rows of the shipped example where the runs of an output folder read them."""
    output.mkdir(parents=True)
    for name, rows in (("train", 32), ("evaluation", 12)):
        lines = (EXAMPLE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:rows]
        (output / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")


def left_behind(output: Path) -> list[str]:
    """Says what runs that are done left: processes at work, and folders half written."""
    left = [str(path.relative_to(output)) for path in output.rglob(".*writing-*")]
    for process in psutil.process_iter():
        try:
            if process.environ().get("KFP_LLM_TUNING_RUN", "").startswith(f"{output}{os.sep}"):
                left.append(f"process {process.pid}: {' '.join(process.cmdline())[:80]}")
        except psutil.Error:
            continue
    return left
