"""The lines of a process at work."""

from __future__ import annotations

import subprocess
import sys

from kfp_llm_tuning.pipelines.local_runs.process_output import read_lines

PROGRAM = """
import os, sys
for number in range(5_000):
    os.write(1, b"said %d\\n" % number)
    os.write(2, b"failed %d\\n" % number)
os.write(1, b"half a " + b"x" * 100_000)
os.write(1, b" line\\nno end \\xff")
"""


def test_lines_are_whole_and_what_was_said_stands_before_the_failure() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = list(read_lines(process.stdout, process.stderr))
    place = {line: number for number, (line, _) in enumerate(lines)}
    for number in range(5_000):
        assert place[f"said {number}\n"] < place[f"failed {number}\n"]
    assert len(lines) == 10_002
    assert [line for line, is_error in lines if not is_error][-2:] == [
        f"half a {'x' * 100_000} line\n",
        "no end \ufffd\n",
    ]
