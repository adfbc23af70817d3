"""What is shown of a run: the same lines wherever it is shown, in a terminal one more."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.pipelines.local_runs.local_runner import TaskResult
from kfp_llm_tuning.pipelines.local_runs.run_display import RunDisplay
from kfp_llm_tuning.pipelines.terminal.text import format_seconds
from tests.pipelines.local_runs.executor_output import EXECUTOR_OUTPUT
from tests.terminal import Terminal, look


def show(task: TaskResult, text: str, log: str = "") -> str:
    stream = io.StringIO()
    display = RunDisplay(Console(file=stream, width=100))
    display.started(task)
    task.log.write_text(log, encoding="utf-8")
    for line in text.splitlines():
        display.printed(task, line)
    display.finished(task)
    return stream.getvalue()


def test_a_finished_task(tmp_path: Path) -> None:
    task = TaskResult("tuner", tmp_path / "log", state="succeeded", seconds=125)
    shown = show(task, EXECUTOR_OUTPUT)
    assert "a plain line with [brackets]" in shown
    assert "✓ tuner" in shown
    assert "2 min 05 s" in shown
    assert "executor_input" not in shown


def test_a_task_done_before(tmp_path: Path) -> None:
    assert "done before" in show(TaskResult("tuner", tmp_path / "log", state="cached"), "")


def test_a_failed_task_shows_its_error_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    shown = show(
        TaskResult("tuner", log, state="failed", seconds=1),
        "",
        EXECUTOR_OUTPUT + "Error: 2 problems:\n  1. [one]\n  2. two\n",
    )
    assert "✗ tuner" in shown
    assert "Error: 2 problems:" in shown
    assert "1. [one]" in shown
    assert "step 10/60" not in shown
    assert str(log) in shown


def test_errors_of_earlier_tries_are_not_shown(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Error: the disk was full\n", encoding="utf-8")
    task = TaskResult("tuner", log, state="failed", seconds=1)
    stream = io.StringIO()
    display = RunDisplay(Console(file=stream, width=100))
    display.started(task)
    with log.open("a", encoding="utf-8") as again:
        again.write("Killed\n")
    display.finished(task)
    assert "Killed" in stream.getvalue()
    assert "disk" not in stream.getvalue()


def test_a_crashed_task_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = "\n".join(f"line {number}" for number in range(50))
    shown = show(TaskResult("tuner", log, state="failed", seconds=1), "", lines)
    assert "line 49" in shown
    assert "line 20" not in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3661, "1 h 01 min")],
)
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


# A run of three tasks as kfp.local does it, down to what writes to standard output meanwhile.
PROGRAM = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from kfp import dsl
    from kfp_llm_tuning.components.common.images import IMAGE
    from kfp_llm_tuning.pipelines.local_runs import run_directory
    from kfp_llm_tuning.pipelines.local_runs.local_run import run_in

    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def warn():
        import logging, os, sys
        logging.warning("only 10 examples, which is " + "very " * 20 + "few")
        from kfp_llm_tuning.components.models import base_models, model_references
        notice = model_references.resolve("text-bison@002").substitution_notice
        base_models.logger.warning("%s", notice)
        logging.getLogger("a").info("the checkpoint \\x1b[2Jorg/stand-in is tuned in its place")
        print("noise of a library", file=sys.stderr)
        os.write(2, b"noise of its C code\\n")

    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def tune(wait: bool):
        import signal, sys, time
        def stop(*_):
            sys.stderr.write("Interrupted: step 2 is saved.\\n")
            sys.exit(75)
        signal.signal(signal.SIGTERM, stop)
        for step in range(1, 4):
            print(f"step {step}/3 | loss {1 / step:.4f}", flush=True)
            time.sleep(60 if wait and step == 2 else 0.2)

    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def fail(really: bool):
        import sys
        if really:
            sys.exit("Error: 2 problems:\\n  1. one\\n  2. two")

    @dsl.pipeline(name="shown")
    def shown(wait: bool, really: bool):
        warned = warn()
        tuned = tune(wait=wait).after(warned)
        fail(really=really).after(tuned)

    values = {"wait": "wait" in sys.argv, "really": "fail" in sys.argv}
    folder = run_directory.create(Path("runs"), "shown", values)
    sys.exit(run_in(folder, lambda *_: shown, "try again", None).exit_code)
    """
)
CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])m")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    script = tmp_path_factory.mktemp("program") / "shown.py"
    script.write_text(PROGRAM, encoding="utf-8")
    return [sys.executable, str(script)]


@pytest.fixture(scope="module")
def piped(program: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run that fails prints to a pipe."""
    cwd = tmp_path_factory.mktemp("piped")
    done = subprocess.run([*program, "fail"], capture_output=True, text=True, cwd=cwd, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    return done.stdout


@pytest.fixture
def terminal(program: list[str], tmp_path: Path) -> Iterator[Terminal]:
    """A run that waits at its second step."""
    started = Terminal([*program, "wait"], cwd=tmp_path)
    started.wait_for("step 2/3")
    yield started
    started.close()


def test_a_pipe_shows_what_components_say_and_no_library(piped: str) -> None:
    assert [line.split()[:2] for line in piped.splitlines()[1:7]] == [
        ["…", "warn"], ["!", "only"], ["!", "text-bison@002"], ["the", "checkpoint"],
        ["✓", "warn"], ["…", "tune"],
    ]  # fmt: skip
    assert "      step 3/3 | loss 0.3333\n" in piped
    assert piped.index("✗ fail") < piped.index("Error: 2 problems:") < piped.index("2. two")
    assert f"! {resolve('text-bison@002').substitution_notice}\n" in piped
    assert "noise" not in piped
    assert "\x1b" not in piped


def words_of(text: str) -> str:
    """What is written, without times, names of runs, and where lines are broken."""
    text = re.sub(r"shown-[\d-]+|\d+\.\d|\s|… fail", "", text)
    return text.partition("wholelog")[0]


@pytest.mark.parametrize(
    ("columns", "variables"),
    [(60, {"NO_COLOR": "1"}), (80, {}), (120, {"TERM": "dumb"})],
)
def test_a_terminal_of_any_width_and_kind_shows_the_same(
    program: list[str], piped: str, tmp_path: Path, columns: int, variables: dict[str, str]
) -> None:
    seen = look([*program, "fail"], columns=columns, cwd=tmp_path, environment=variables)
    assert seen.exit_code == 1
    assert words_of(seen.shown) == words_of(piped)
    assert bool(COLOUR.search(seen.typescript)) == (not variables)
    # The line of progress was there, if the terminal can take it back, and is gone.
    can_move = variables.get("TERM") != "dumb"
    assert ("2/3 tune" in seen.typescript) == can_move
    assert bool(CONTROL_SEQUENCE.search(seen.typescript)) == can_move
    assert "2/3 tune" not in seen.shown


def test_one_ctrl_c_saves_and_says_how_to_go_on(terminal: Terminal) -> None:
    terminal.interrupt()
    assert terminal.wait() == 75
    shown = terminal.shown
    assert shown.count("Ctrl-C again stops at once") == 1
    for text in ("■ tune", "Interrupted: step 2 is saved.", "Go on with: try again"):
        assert text in shown
    assert "✗" not in shown
    assert "2/3 tune" not in shown
    assert shown.index("! only 10 examples") < shown.index("step 2/3") < shown.index("Stopping")


def test_a_second_ctrl_c_ends_what_does_not_stop(terminal: Terminal) -> None:
    terminal.interrupt()
    terminal.wait_for("Ctrl-C again")
    terminal.interrupt()
    assert terminal.wait() == 75
    assert "Traceback" not in terminal.shown
    assert "Go on with: try again" in terminal.shown
