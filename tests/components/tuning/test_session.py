"""The command on remote folders: every session starts on a machine whose disk is empty."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components.tuning.runs import (
    Run,
    assert_close_history,
    assert_same_result,
    start,
    wait_for,
)
from tests.vertex.local_vertex import LocalVertex

# Another name of file://, which the tuner does not take for a disk of its own.
REMOTE = "local://"


def start_on_new_machine(run: Run, machine: Path, *options: str) -> subprocess.Popen[str]:
    machine.mkdir()
    return start([*run.command(REMOTE), *options], TMPDIR=str(machine))


def wait_for_copy(run: Run, step: int, process: subprocess.Popen[str]) -> None:
    wait_for(run.paths.checkpoints / f"step-{step}" / "complete.json", "files", process)


@pytest.mark.slow
def test_killed_twice_on_machines_that_are_lost(
    whole_run: Run, vertex_server: LocalVertex, tmp_path: Path
) -> None:
    bucket = vertex_server.storage_folder / "bucket"
    run = whole_run.copied_to(bucket)

    def start_on(machine: str) -> subprocess.Popen[str]:
        (tmp_path / machine).mkdir()
        command = [word.replace(str(bucket), "gs://bucket") for word in run.command()]
        variables = vertex_server.environment() | {"TMPDIR": str(tmp_path / machine)}
        return start(command, **variables)

    interrupted = start_on("first")
    wait_for_copy(run, 2, interrupted)
    interrupted.send_signal(signal.SIGTERM)
    output, _ = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 75, output
    saved = run.steps_on_disk()[-1]
    assert f"step {saved} of 12 is saved" in output
    assert not list((tmp_path / "first").glob("kfp-llm-tuning-*"))

    killed = start_on("second")
    wait_for_copy(run, saved + saved % 2 + 2, killed)
    killed.kill()
    killed.communicate()
    assert not run.paths.output.exists()

    last = start_on("third")
    output, _ = last.communicate(timeout=120)
    assert last.returncode == 0, output
    assert "from gs://bucket/run/checkpoints" in output
    assert_same_result(run, whole_run)
    assert run.steps_on_disk()[-1] == 12
    assert (run.paths.output / "README.md").exists()
    assert not list((tmp_path / "third").glob("kfp-llm-tuning-*"))


@pytest.mark.slow
def test_several_processes_are_started_interrupted_and_go_on(
    make_run: Callable[..., Run], whole_run: Run, tmp_path: Path
) -> None:
    run = make_run()
    interrupted = start_on_new_machine(run, tmp_path / "first", "--processes", "2")
    wait_for_copy(run, 4, interrupted)
    interrupted.send_signal(signal.SIGTERM)
    output, _ = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 75, output
    assert "Interrupted: received SIGTERM" in output

    last = start_on_new_machine(run, tmp_path / "second", "--processes", "2")
    output, _ = last.communicate(timeout=120)
    assert last.returncode == 0, output
    assert_close_history(run, whole_run)
