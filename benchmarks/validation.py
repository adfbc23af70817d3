"""Validation: speed against bare reading and parsing in the same run.

Run with ``python benchmarks/validation.py``. Data is written to a temporary folder and deleted.
Every figure is the best of several rounds, since other programs only ever slow a round down; the
contenders take turns, so that a slow minute of the machine hits all of them. Memory is measured by
``benchmarks/million_rows.py``.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from common import record

from kfp_llm_tuning.components.data.formats.published import PUBLISHED_TEXT
from kfp_llm_tuning.components.data.reading.findings import Findings, Severity
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.validation.dataset import Request, validate_dataset

SPEED_BYTES = 200_000_000
SET_ROWS = 10_000
ROUNDS = 7
_MEGA = 1e6


class _Row(msgspec.Struct):
    input_text: str
    output_text: str


def make_rows(path: Path, size: int, escapes: bool = False, most: int = 10**9) -> int:
    """Writes text rows of about 1 KB until the file has ``size`` bytes or ``most`` rows.

    Args:
        path: The file.
        size: Bytes.
        escapes: Whether rows have line breaks, quotes, other alphabets and a third field.
        most: Rows.

    Returns:
        The rows written.
    """
    source = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(source.choices(letters, k=source.randint(2, 9))) for _ in range(5_000)]
    rows = written = 0
    with path.open("w", encoding="utf-8") as stream:
        while written < size and rows < most:
            row: dict[str, str | int] = {
                "input_text": " ".join(source.choices(words, k=130)),
                "output_text": " ".join(source.choices(words, k=20)),
            }
            if escapes:
                row |= {"input_text": str(row["input_text"]).replace(" a", '\n"é '), "id": rows}
            written += stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            rows += 1
    return rows


def iterate_lines(path: Path) -> None:
    """Reads line by line and does nothing: the limit of any check by line."""
    with path.open("rb") as stream:
        for _ in stream:
            pass


def parse_with_json(path: Path) -> None:
    """Parses and checks as a plain script does."""
    with path.open("rb") as stream:
        for line in stream:
            row = json.loads(line)
            if not isinstance(row["input_text"], str) or not isinstance(row["output_text"], str):
                raise TypeError(line)


def parse_with_msgspec(path: Path) -> None:
    """Parses every line into a typed struct: types and presence, but no further rule."""
    decode = msgspec.json.Decoder(_Row).decode
    with path.open("rb") as stream:
        for line in stream:
            decode(line)


def check_rules(path: Path) -> None:
    """Checks every format and count rule."""
    findings = Findings(20)
    scan(str(path), PUBLISHED_TEXT, findings, lambda place, row: None, window=0)
    if findings.total(Severity.ERROR):
        raise RuntimeError(findings.by_kind(Severity.ERROR))


def check_everything(path: Path) -> None:
    """Checks the rules, duplicates, labels, lengths and byte-tiny's tokens."""
    validate_dataset(Request(str(path), large_model_reference="byte-tiny"))


def best_speeds(contenders: dict[str, Callable[[Path], None]], path: Path) -> dict[str, float]:
    """Measures in turns.

    Args:
        contenders: What to run.
        path: What to run it on.

    Returns:
        The best speed of each, in MB/s.
    """
    seconds = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender(path)
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    size = path.stat().st_size / _MEGA
    return {name: size / duration for name, duration in seconds.items()}


def measure_speed(folder: Path) -> None:
    """Compares the rules alone with bare parsing, on plain rows and on awkward ones."""
    contenders = {
        "lines": iterate_lines,
        "json": parse_with_json,
        "msgspec": parse_with_msgspec,
        "ours": check_rules,
    }
    for name, escapes in (("plain rows", False), ("escapes, non-ASCII, a third field", True)):
        path = folder / "speed.jsonl"
        rows = make_rows(path, SPEED_BYTES, escapes)
        speeds = best_speeds(contenders, path)
        note = (
            f"{rows:,} rows, {path.stat().st_size / _MEGA:,.0f} MB; peer msgspec typed lines, "
            f"limit line iteration; json and type checks {speeds['json']:,.0f} MB/s; "
            f"ours / msgspec {speeds['ours'] / speeds['msgspec']:.2f} (goal 0.88 = 450 / 509)"
        )
        record(
            f"validation, format and count rules, {name}",
            speeds["ours"],
            speeds["msgspec"],
            speeds["lines"],
            "MB/s per core",
            note,
        )


def measure_everything(folder: Path) -> None:
    """Measures the whole report on ten thousand rows."""
    path = folder / "everything.jsonl"
    make_rows(path, 10**12, most=SET_ROWS)
    speeds = best_speeds({"rules": check_rules, "everything": check_everything}, path)
    size = path.stat().st_size / _MEGA
    note = (
        f"{SET_ROWS:,} rows, {size:.1f} MB, in {size / speeds['everything']:.2f} s: duplicates, "
        "near duplicates, labels, lengths, tokens by byte-tiny's tokenizer; limit the rules alone"
    )
    record("validation, whole report", speeds["everything"], None, speeds["rules"], "MB/s", note)


def main() -> None:
    """Runs every measurement."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure_speed(folder)
        measure_everything(folder)


if __name__ == "__main__":
    main()
