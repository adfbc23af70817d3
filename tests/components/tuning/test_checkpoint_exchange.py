"""Which checkpoint machines go on from, and how it comes to those that lack it; as threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import RunAgain
from kfp_llm_tuning.components.tuning import checkpoint_exchange, file_exchange, processes
from kfp_llm_tuning.components.tuning.checkpoint_exchange import newest_of_all, on_all
from kfp_llm_tuning.components.tuning.checkpoints import Checkpoint, CheckpointDirectory

MACHINES = 3


class Machines:
    """Threads that talk to one another as processes do by torch.distributed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._here = threading.local()
        self._barrier = threading.Barrier(MACHINES, timeout=20)
        self._said: list[Any] = [None] * MACHINES
        monkeypatch.setattr(processes, "count", lambda: MACHINES)
        monkeypatch.setattr(processes, "index", lambda: self._here.index)
        monkeypatch.setattr(checkpoint_exchange, "told_by_all", self._told_by_all)
        for module in (checkpoint_exchange, file_exchange):
            monkeypatch.setattr(module, "told_by_one", self._told_by_one)

    def _told_by_all(self, value: Any) -> list[Any]:
        self._said[self._here.index] = value
        self._barrier.wait()
        told = list(self._said)
        self._barrier.wait()
        return told

    def _told_by_one(self, value: Any, source: int, _group: Any = None) -> Any:
        return self._told_by_all(value)[source]

    def each(self, ask: Callable[[int], Checkpoint | None]) -> list[Checkpoint | None]:
        def on(index: int) -> Checkpoint | None:
            self._here.index = index
            return ask(index)

        with ThreadPoolExecutor(MACHINES) as pool:
            return list(pool.map(on, range(MACHINES)))


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(monkeypatch)


def directories(folder: Path, steps: list[list[int]]) -> list[CheckpointDirectory]:
    made = [CheckpointDirectory(folder / str(index)) for index in range(MACHINES)]
    for directory, own in zip(made, steps, strict=True):
        for step in own:
            folder_of_step = directory.begin(step)
            (folder_of_step / "weights").write_bytes(f"of step {step}".encode() * 100)
            (folder_of_step / "empty").touch()
            directory.commit(step)
    return made


def test_the_newest_of_any_machine_comes_to_all(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_exchange, "_PART_BYTES", 64)
    disks = directories(tmp_path, [[20], [20, 40], []])
    found = machines.each(lambda index: newest_of_all(disks[index]))
    for directory, checkpoint in zip(disks, found, strict=True):
        assert checkpoint == Checkpoint(40, directory.path / "step-40")
        assert (checkpoint.path / "weights").read_bytes() == b"of step 40" * 100
        assert (checkpoint.path / "empty").read_bytes() == b""


def test_what_a_killed_machine_left_half_written_counts_nowhere(
    machines: Machines, tmp_path: Path
) -> None:
    disks = directories(tmp_path, [[20, 40], [20], []])
    (disks[0].path / "step-40" / "weights").write_bytes(b"half")
    found = machines.each(lambda index: newest_of_all(disks[index]))
    assert [checkpoint and checkpoint.step for checkpoint in found] == [20, 20, 20]


def test_a_folder_that_all_see_is_left_as_it_is(machines: Machines, tmp_path: Path) -> None:
    shared = directories(tmp_path, [[20], [], []])[0]
    before = (shared.path / "step-20").stat().st_ino
    found = machines.each(lambda _: newest_of_all(shared))
    assert [checkpoint and checkpoint.step for checkpoint in found] == [20, 20, 20]
    assert (shared.path / "step-20").stat().st_ino == before


def test_one_that_comes_damaged_ends_the_session_of_all(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = directories(tmp_path, [[20], [], [20]])
    monkeypatch.setattr(disks[1], "adopt", lambda step: "weights is cut off")
    ended: list[str] = []

    def ask(index: int) -> None:
        with pytest.raises(RunAgain, match="step 20 came damaged to a machine: weights is cut off"):
            newest_of_all(disks[index])
        ended.append(str(index))

    machines.each(ask)
    assert sorted(ended) == ["0", "1", "2"]


def test_where_nothing_is_all_begin_anew(machines: Machines, tmp_path: Path) -> None:
    disks = directories(tmp_path, [[], [], []])
    assert machines.each(lambda index: newest_of_all(disks[index])) == [None] * MACHINES
    assert machines.each(lambda index: on_all(disks[index], 20)) == [None] * MACHINES
