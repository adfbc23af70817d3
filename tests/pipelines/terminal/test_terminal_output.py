"""What reaches a terminal: this project's words, whatever libraries say and it can show."""

from __future__ import annotations

import subprocess
import sys

from tests.terminal import look

PROGRAM = """
import logging, sys, warnings
from kfp_llm_tuning.pipelines.terminal import terminal_output
terminal_output.prepare()
logging.getLogger("gcsfs").error("retries are out")
logging.getLogger("mlflow").info("migrating")
logging.warning("of nobody")
warnings.warn("deprecated")
with terminal_output.at_work("Asking [router]"):
    logging.getLogger("kfp_llm_tuning.x").warning("2 answers were cut")
sys.stdout.write("\\N{CHECK MARK} done\\n")
"""


def test_libraries_are_silent_and_a_narrow_encoding_is_no_fault() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii:strict"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == (b"? done\n", b"! 2 answers were cut\n")


def test_a_terminal_is_told_what_takes_a_while() -> None:
    seen = look([sys.executable, "-c", PROGRAM])
    assert "Asking [router] …" in seen.typescript
    assert seen.shown == "! 2 answers were cut\n✓ done"
