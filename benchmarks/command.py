"""Time of the command itself: ``--help``, and what ``run`` adds to its stages' own work.

That is what passes outside of its tasks, and what starts and imports take: of each task's process,
and of the one that tasks are forked from.

python benchmarks/command.py
"""

from __future__ import annotations

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import record

COMMAND = [str(Path(sys.executable).with_name("kfp-llm-tuning"))]
EXAMPLE = ["--params", "examples/support/parameters.yaml"]


# What Python writes to standard error for each module: microseconds of its own, of all, its name.
_IMPORT_TIME = re.compile(r"^import time: +(\d+) \|", re.MULTILINE)


def _seconds(command: list[str], **variables: str) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **variables})
    return time.perf_counter() - begun


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _imports(log: str) -> float:
    return sum(map(int, _IMPORT_TIME.findall(log))) / 1e6


def _median(command: list[str], times: int) -> float:
    return statistics.median(_seconds(command) for _ in range(times))


def help_time() -> None:
    """Compares ``kfp-llm-tuning --help`` with ``kfp --help`` and with Python's own start."""
    record(
        "kfp-llm-tuning --help",
        ours=_median([*COMMAND, "--help"], 11),
        peer=_median([COMMAND[0].replace("kfp-llm-tuning", "kfp"), "--help"], 5),
        limit=_median([sys.executable, "-c", "pass"], 11),
        unit="s",
        note="peer: kfp --help; limit: python -c pass; medians",
    )


def run_overhead(steps: int = 20) -> None:
    """Measures a whole run and takes away the time that its tasks' processes lived."""
    with tempfile.TemporaryDirectory() as folder:
        whole = _seconds(
            [*COMMAND, "run", *EXAMPLE, "--train-steps", str(steps), "--output-dir", folder]
        )
        (path,) = Path(folder).glob("*/run.json")
        tasks = json.loads(path.read_text(encoding="utf-8"))["tasks"]
    work = sum(task["seconds"] for task in tasks)
    record(
        "run outside its stages",
        ours=whole - work,
        peer=None,
        limit=5.0,
        unit="s",
        note=f"{len(tasks)} tasks, {steps} steps: {whole:.1f} s whole, {work:.1f} s in the tasks; "
        "limit: the goal",
    )


def import_overhead(steps: int = 5) -> None:
    """Runs the example twice: processor time as it is, and what imports take as Python tells it."""
    with tempfile.TemporaryDirectory() as folder:
        run = [*COMMAND, "run", *EXAMPLE, "--train-steps", str(steps), "--output-dir"]
        before = _processor_seconds()
        _seconds([*run, f"{folder}/plain"])
        whole = _processor_seconds() - before
        _seconds([*run, f"{folder}/told"], PYTHONPROFILEIMPORTTIME="1")
        logs = sorted(Path(folder).glob("told/*/logs/*.log"))
        # kfp.log has what the process that tasks are forked from has imported for them.
        took = {log.stem: _imports(log.read_text(encoding="utf-8")) for log in logs}
    for name, seconds in took.items():
        print(f"  {name:40} {seconds:6.2f} s of imports")  # noqa: T201
    record(
        "imports of a run's tasks",
        ours=sum(took.values()),
        peer=None,
        limit=whole,
        unit="s",
        note=f"{len(took)} logs, {steps} steps; kfp.log (shared) {took['kfp']:.2f} s, tuner "
        f"{took['large-language-model-tuner']:.2f} s; traced wall time; limit: processor time of "
        "the whole run, untraced",
    )


if __name__ == "__main__":
    help_time()
    run_overhead()
    import_overhead()
