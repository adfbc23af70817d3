from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.run_identity import RunIdentity


def write(directory: CheckpointDirectory, step: int, best_step: int = 0) -> None:
    folder = directory.begin(step)
    (folder / "weights").write_bytes(b"w" * 1000 + str(step).encode())
    (folder / "part").mkdir()
    (folder / "part" / "state.json").write_text("{}")
    directory.commit(step, best_step=best_step)


@pytest.fixture
def directory(tmp_path: Path) -> CheckpointDirectory:
    return CheckpointDirectory(tmp_path / "checkpoints")


def identity(name: str) -> RunIdentity:
    return RunIdentity({"arguments": {"model_reference": name}}, "1.0")


def steps(directory: CheckpointDirectory) -> list[int]:
    return sorted(int(path.name[5:]) for path in directory.path.glob("step-*"))


def test_an_empty_folder_has_none(directory: CheckpointDirectory) -> None:
    assert directory.newest() is None


def test_the_newest_is_found_by_number_not_by_name(directory: CheckpointDirectory) -> None:
    for step in (90, 100):
        write(directory, step)
    newest = directory.newest()
    assert newest is not None
    assert newest.step == 100
    assert (newest.path / "weights").read_bytes().endswith(b"100")


def test_the_last_two_and_the_best_are_kept(directory: CheckpointDirectory) -> None:
    for step, best in [(10, 10), (20, 20), (30, 20), (40, 20), (50, 20)]:
        write(directory, step, best)
    assert steps(directory) == [20, 40, 50]


def test_one_being_written_does_not_count(directory: CheckpointDirectory) -> None:
    write(directory, 10)
    (directory.begin(20) / "weights").write_bytes(b"half")
    newest = directory.newest()
    assert newest is not None
    assert newest.step == 10
    with directory.claimed(identity("a")):
        assert not list(directory.path.glob(".writing-*"))


def truncate(folder: Path) -> None:
    (folder / "weights").write_bytes(b"w" * 10)


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "weights").read_bytes())
    content[500] ^= 1
    (folder / "weights").write_bytes(content)


def lose_a_file(folder: Path) -> None:
    (folder / "part" / "state.json").unlink()


def lose_the_marker(folder: Path) -> None:
    (folder / "complete.json").unlink()


def halve_the_marker(folder: Path) -> None:
    text = (folder / "complete.json").read_text()
    (folder / "complete.json").write_text(text[: len(text) // 2])


def empty_the_marker(folder: Path) -> None:
    (folder / "complete.json").write_text("[]")


@pytest.mark.parametrize(
    "damage",
    [truncate, flip_a_bit, lose_a_file, lose_the_marker, halve_the_marker, empty_the_marker],
)
def test_a_damaged_one_gives_way_to_the_one_before(
    directory: CheckpointDirectory, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write(directory, 10)
    write(directory, 20)
    damage(directory.path / "step-20")
    newest = directory.newest()
    assert newest is not None
    assert newest.step == 10
    assert directory.at(20) is None
    assert "Passing over checkpoint step-20" in caplog.text
    write(directory, 20)  # Training comes by again and replaces it.
    assert directory.at(20) is not None


def test_all_damaged_is_none(directory: CheckpointDirectory) -> None:
    write(directory, 10)
    truncate(directory.path / "step-10")
    assert directory.newest() is None


def test_the_folder_of_another_run_is_refused(directory: CheckpointDirectory) -> None:
    with directory.claimed(identity("one run")):
        pass
    with directory.claimed(identity("one run")):
        pass
    with (
        pytest.raises(
            UserError, match="another run: model_reference is 'another run' and was 'one run'"
        ),
        directory.claimed(identity("another run")),
    ):
        pytest.fail("claimed")


def _claim_and_wait(path: str, claimed: Any, release: Any) -> None:
    with CheckpointDirectory(Path(path)).claimed(identity("run")):
        claimed.set()
        release.wait(30)


def test_two_tuners_never_share_a_folder(directory: CheckpointDirectory) -> None:
    context = multiprocessing.get_context("fork")
    claimed, release = context.Event(), context.Event()
    other = context.Process(target=_claim_and_wait, args=(str(directory.path), claimed, release))
    other.start()
    assert claimed.wait(30)
    with pytest.raises(UserError, match="another tuner"), directory.claimed(identity("run")):
        pytest.fail("claimed")
    other.kill()  # However the other ends, the folder is free again.
    other.join()
    with directory.claimed(identity("run")):
        pass


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_whose_a_folder_is_survives_damage(
    directory: CheckpointDirectory, content: bytes | None
) -> None:
    owner = directory.path / "run.json"
    with directory.claimed(identity("mine")):
        write(directory, 3)
    owner.unlink()
    if content is not None:
        owner.write_bytes(content)
    with pytest.raises(UserError, match="another run"), directory.claimed(identity("other")):
        pass
    with directory.claimed(identity("mine")):
        assert steps(directory) == [3]


def test_checkpoints_that_may_be_anybodys_are_not_gone_on_with(
    directory: CheckpointDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    write(directory, 3)
    (directory.path / "run.json").write_text("{", encoding="utf-8")
    with directory.claimed(identity("mine")):
        assert steps(directory) == []
    assert "no checkpoint says whose it is" in caplog.text
    caplog.clear()
    with directory.claimed(identity("mine")):
        assert not caplog.messages
