from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common import folders
from kfp_llm_tuning.components.common.folders import (
    finished_atomically,
    remove_leftovers,
    scratch_folder,
    write_atomically,
)

_KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from kfp_llm_tuning.components.common.folders import finished_atomically
with finished_atomically(Path(sys.argv[1])) as folder:
    (folder / "weights").write_bytes(b"x" * 1000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(OSError, match="full"), finished_atomically(target) as folder:
        (folder / "new").touch()
        raise OSError("disk full")
    assert names(tmp_path) == ["model", "model/old"]


def test_success_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    for name in ("first", "second"):
        with finished_atomically(target) as folder:
            (folder / name).touch()
    assert names(tmp_path / "deep") == ["model", "model/second"]


def test_everything_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    synced: list[tuple[str, bool]] = []

    def sync(path: Path) -> None:
        synced.append((path.name, target.exists()))

    monkeypatch.setattr(folders, "sync", sync)
    with finished_atomically(target) as folder:
        (folder / "part").mkdir()
        (folder / "part" / "weights").touch()
    assert sorted(synced[:-1]) == [("model", False), ("part", False), ("weights", False)]
    assert synced[-1] == (tmp_path.name, True)


def test_what_a_killed_writer_left_goes_with_the_next_try(tmp_path: Path) -> None:
    target = tmp_path / "model[1]"
    killed = [sys.executable, "-c", _KILLED_WHILE_WRITING, str(target)]
    assert subprocess.run(killed, check=False).returncode == -9
    assert [name for name in names(tmp_path) if name.endswith("weights")]
    with finished_atomically(target) as folder:
        (folder / "whole").touch()
    assert names(tmp_path) == ["model[1]", "model[1]/whole"]


def test_what_a_killed_writer_left_is_found_anywhere_in_a_run(tmp_path: Path) -> None:
    target = tmp_path / "tasks" / "2026" / "model"
    killed = [sys.executable, "-c", _KILLED_WHILE_WRITING, str(target)]
    assert subprocess.run(killed, check=False).returncode == -9
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["tasks", "tasks/2026"]


def test_a_living_writer_loses_nothing(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with finished_atomically(target) as folder:
        (folder / "mine").touch()
        remove_leftovers(tmp_path)
        with finished_atomically(target) as other:
            (other / "other's").touch()
        assert names(target) == ["other's"]
    assert names(target) == ["mine"]


def test_without_locks_only_what_is_old_is_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError("no locks on this filesystem")

    monkeypatch.setattr(folders.fcntl, "flock", flock)
    for name, age in (("new", 60), ("old", 2 * 24 * 3600)):
        (tmp_path / f"work-{name}").mkdir()
        os.utime(tmp_path / f"work-{name}", times=(time.time() - age,) * 2)
    with scratch_folder(tmp_path, "work-"):
        assert (tmp_path / "work-new").exists()
        assert not (tmp_path / "work-old").exists()
    assert names(tmp_path) == ["work-new"]


def test_atomic_write_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, "first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_failed_atomic_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(TypeError):
        write_atomically(path, 5)  # type: ignore[arg-type]
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
