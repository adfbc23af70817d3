"""Prints a benchmark's figures and keeps them: one row of results.md a measurement."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("results.md")

_HEADER = """# Results

One row a measurement: ours against a peer and a limit, measured in the same run.

| date | machine | command | benchmark | ours | peer | limit | unit | note |
|---|---|---|---|---:|---:|---:|---|---|
"""


def machine() -> str:
    """Names this machine's processor and how many of its cores this process may use.

    Returns:
        For example ``AMD EPYC, family 25 model 17, 2 cores``.
    """
    facts = _processor_facts()
    name = facts.get("model name", platform.processor() or platform.machine())
    if "cpu family" in facts:
        name += f", family {facts['cpu family']} model {facts.get('model', '?')}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def _processor_facts() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def record(
    name: str,
    ours: float,
    peer: float | None,
    limit: float | None,
    unit: str,
    note: str = "",
    *,
    results: Path = RESULTS,
) -> None:
    """Prints one measurement and appends it to results.md.

    Args:
        name: What was measured.
        ours: This project's figure.
        peer: The peer's figure from the same run; None where there is none.
        limit: What the machine or the bare operation allows; None where there is none.
        unit: Unit of the three figures; say here which direction is better if it is not plain.
        note: Which peer and limit, sizes, versions, load: what a reader needs to repeat it.
        results: The file to append to; made with its heading where it is not there.
    """
    figures = [_figure(value) for value in (ours, peer, limit)]
    ours_text, peer_text, limit_text = figures
    print(f"{name}: {ours_text} {unit} (peer {peer_text}, limit {limit_text}) {note}".rstrip())
    date = datetime.now(UTC).date().isoformat()
    cells = [date, machine(), f"`{_command()}`", name, *figures, unit, note]
    row = "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    with results.open("a", encoding="utf-8") as stream:
        stream.write(row if stream.tell() else _HEADER + row)


def _command() -> str:
    script = Path(sys.argv[0])
    root = RESULTS.parents[1]
    shown = script.resolve().relative_to(root) if script.resolve().is_relative_to(root) else script
    return shlex.join(["python", str(shown), *sys.argv[1:]])


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
