from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.distributed.launcher import api

from kfp_llm_tuning.components.common.errors import RunAgain, UserError
from kfp_llm_tuning.components.tuning import launch as launching
from kfp_llm_tuning.components.tuning.launch import launch, processes_to_start
from kfp_llm_tuning.components.tuning.machines import Machines
from kfp_llm_tuning.components.tuning.places import TuningPlaces
from kfp_llm_tuning.components.tuning.publication import Publication
from tests.loopback_server import free_port

FAILING = ["-c", "raise SystemExit(13)"]


@pytest.fixture(autouse=True)
def _environment_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("RANK", raising=False)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize(
    ("gpus", "asked", "batch_size", "expected"),
    [(0, 0, 8, 1), (1, 0, 8, 1), (8, 0, 24, 8), (8, 0, 3, 3), (8, 2, 24, 2), (0, 4, 8, 4)],
)
def test_a_process_for_every_gpu(
    gpus: int, asked: int, batch_size: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert processes_to_start(asked, batch_size) == expected


def test_a_process_of_several_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setenv("RANK", "0")
    assert processes_to_start(0, 24) == 1


def test_each_process_is_told_its_place(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    script = (
        "import os, pathlib\n"
        "e = os.environ\n"
        "pathlib.Path(e['FOLDER'], e['RANK']).write_text(e['LOCAL_RANK'] + e['WORLD_SIZE'])\n"
    )
    launch(2, ["-c", script], {"FOLDER": str(tmp_path)})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"0": "02", "1": "12"}
    assert signal.getsignal(signal.SIGTERM) == handler


@pytest.mark.parametrize(("codes", "expected"), [("1 13", 1), ("13 13", 13), ("75 13", 13)])
def test_the_exit_code_tells_whose_fault_it_was(codes: str, expected: int) -> None:
    with pytest.raises(SystemExit) as ended:
        exit_with(codes)
    assert ended.value.code == expected


def test_interrupted_processes_ask_to_be_run_again() -> None:
    with pytest.raises(RunAgain):
        exit_with("75 75")


def exit_with(codes: str) -> None:
    """Starts a process for each code, none of which dies of the other's end."""
    script = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "time.sleep(0.5)\n"
        "sys.exit(int(os.environ['CODES'].split()[int(os.environ['RANK'])]))\n"
    )
    launch(len(codes.split()), ["-c", script], {"CODES": codes})


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Machines:
    """A machine whose first does not answer, and for which no time is left to wait."""
    monkeypatch.setattr(launching, "_SECONDS_TO_MEET", 0)
    return Machines(2, 1, "127.0.0.1", free_port())


def test_machines_that_do_not_come_are_told(second: Machines, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"2 machines did not meet at 127.0.0.1:{second.port}"):
        launch(1, FAILING, {}, second, publication_in(tmp_path, second))


def test_where_all_is_published_nothing_is_left_to_run(second: Machines, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tuning.json").write_text("{}")
    publication = publication_in(tmp_path, second)
    publication.attend()
    publication.announce(tmp_path)
    launch(1, FAILING, {}, second, publication)


def publication_in(folder: Path, machines: Machines) -> Publication:
    names = ("train", "evaluation", "model", "metrics", "checkpoints")
    return Publication(TuningPlaces(*(str(folder / name) for name in names)), machines, "run")


def test_the_last_wait_for_lost_machines_is_one_that_torch_knows_and_is_short() -> None:
    agent = api.LocalElasticAgent
    with launching._short_last_wait():
        shorter = api.LocalElasticAgent
        assert shorter.keywords["exit_barrier_timeout"] < 60
        assert shorter.keywords.keys() <= inspect.signature(agent).parameters.keys()
    assert api.LocalElasticAgent is agent
