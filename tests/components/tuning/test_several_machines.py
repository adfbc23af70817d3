"""One run over several machines: each a command of its own, with a disk of its own, on loopback."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.components.tuning.kill_moments import MOMENTS, wait_for_moment
from tests.components.tuning.runs import (
    Run,
    assert_close_history,
    assert_same_result,
    start,
    wait_for,
)
from tests.loopback_server import free_port

# Another name of file://, which the tuner does not take for a disk of its own.
REMOTE = "local://"
SELECTING = {"enable_checkpoint_selection": True}


class Fleet:
    """The machines of one run; one that was lost may be started again."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        count: int,
        processes: int,
        only: Sequence[int] = (),
        **changes: Any,
    ) -> None:
        self._run, self._folder, self._processes = run, folder, processes
        self._changes = changes
        self._variables = {
            "PET_NNODES": str(count),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(free_port()),
        }
        self._starts = 0
        self.machines = [self.start(index) for index in only or range(count)]

    def start(self, index: int) -> subprocess.Popen[str]:
        self._starts += 1
        disk = self._folder / f"disk-{self._starts}"
        disk.mkdir(parents=True)
        command = self._run.command(REMOTE, **self._changes)
        command += ["--processes", str(self._processes)]
        place = {"PET_NODE_RANK": str(index), "TMPDIR": str(disk)}
        return start(command, **self._variables, **place)

    def lose(self, index: int, number: int) -> None:
        """Ends a machine, and starts it anew on an empty disk, as Vertex AI does."""
        machine = self.machines[index]
        has_ended = machine.poll() is not None
        members = [] if has_ended else psutil.Process(machine.pid).children(recursive=True)
        machine.send_signal(number)
        if number == signal.SIGKILL:
            for member in members:
                member.kill()
        machine.communicate(timeout=120)
        self.machines[index] = self.start(index)

    def has_ended(self) -> bool:
        return any(machine.poll() is not None for machine in self.machines)

    def finish(self) -> list[str]:
        outputs = [machine.communicate(timeout=300)[0] for machine in self.machines]
        assert [machine.returncode for machine in self.machines] == [0] * len(outputs), outputs
        return outputs


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sharding": "full"},
        {"tuning": "adapter", "sharding": "full"},
        {"tuning": "adapter", "load_in_4bit": True},
    ],
    ids=["full", "full-sharded", "adapter-sharded", "4bit"],
)
def test_two_machines_of_two_processes_reach_what_one_process_does(
    changes: dict[str, Any], make_run: Callable[..., Run], tmp_path: Path
) -> None:
    alone, run = make_run("alone"), make_run("spread")
    process = start(alone.command(**changes))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    first, second = Fleet(run, tmp_path / "fleet", 2, 2, **changes).finish()
    assert_close_history(run, alone)
    assert "Done: 12 steps" in first
    assert "Done: 12 steps" not in second
    assert run.steps_on_disk()[-1] == 12


@pytest.fixture(scope="module")
def run_of_two_machines(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    train_folder: Path,
    evaluation_folder: Path,
) -> Run:
    """A run over two machines of one process, of which none is lost."""
    folder = tmp_path_factory.mktemp("machines")
    run = Run(folder / "run", tiny_model, train_folder, evaluation_folder)
    Fleet(run, folder, 2, 1, **SELECTING).finish()
    return run


@pytest.mark.slow
def test_a_lost_machine_takes_no_shard_with_it(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    whole, run = make_run("whole"), make_run("lost")
    Fleet(whole, tmp_path / "whole-fleet", 2, 1, sharding="full").finish()
    fleet = Fleet(run, tmp_path / "fleet", 2, 1, sharding="full")
    wait_for(run.paths.checkpoints / "step-2" / "complete.json", "files", fleet.machines[0])
    fleet.lose(1, signal.SIGKILL)
    assert "Going on from step" in fleet.finish()[0]
    assert_same_result(run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("index", [0, 1])
def test_a_machine_that_is_lost_comes_back_and_the_run_goes_on(
    index: int,
    number: int,
    make_run: Callable[..., Run],
    run_of_two_machines: Run,
    tmp_path: Path,
) -> None:
    run = make_run()
    fleet = Fleet(run, tmp_path / "fleet", 2, 1, **SELECTING)
    wait_for(run.paths.checkpoints / "step-2" / "complete.json", "files", fleet.machines[0])
    fleet.lose(index, number)
    outputs = fleet.finish()
    assert "Going on from step" in outputs[0]
    assert_same_result(run, run_of_two_machines)


@pytest.mark.slow
def test_a_machine_that_comes_back_after_the_end_ends_at_once(
    run_of_two_machines: Run, tmp_path: Path
) -> None:
    written = (run_of_two_machines.paths.output / "tuning.json").stat().st_mtime_ns
    for index in (0, 1):
        late = Fleet(run_of_two_machines, tmp_path / str(index), 2, 1, only=[index], **SELECTING)
        (output,) = late.finish()
        assert "This run is done" in output
    assert (run_of_two_machines.paths.output / "tuning.json").stat().st_mtime_ns == written


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_machine_that_is_lost_at_any_moment_changes_nothing(
    moment: int, make_run: Callable[..., Run], run_of_two_machines: Run, tmp_path: Path
) -> None:
    run = make_run()
    fleet = Fleet(run, tmp_path / "fleet", 2, 1, **SELECTING)
    chance = wait_for_moment(moment, tmp_path, fleet.has_ended)
    fleet.lose(chance.randrange(2), signal.SIGKILL)
    fleet.finish()
    assert_same_result(run, run_of_two_machines)
