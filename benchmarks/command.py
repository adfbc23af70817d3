"""Time of the command itself: ``--help``, and what ``run`` adds to its stages' own work.

python benchmarks/command.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import record

COMMAND = [str(Path(sys.executable).with_name("kfp-llm-tuning"))]
EXAMPLE = ["--params", "examples/support/parameters.yaml"]


def _seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


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


if __name__ == "__main__":
    help_time()
    run_overhead()
