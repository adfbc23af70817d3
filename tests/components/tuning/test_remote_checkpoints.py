from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest

from kfp_llm_tuning.components.common import transfers
from kfp_llm_tuning.components.tuning.checkpoints import CheckpointDirectory
from kfp_llm_tuning.components.tuning.early_stopping import BestStep, EarlyStopping
from kfp_llm_tuning.components.tuning.remote_checkpoints import RemoteCheckpoints
from kfp_llm_tuning.components.tuning.run_state import RunState


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"memory://{tmp_path.name}/checkpoints"


def commit(folder: Path, step: int, best_step: int = 0) -> None:
    """Writes a checkpoint whose run thinks that a step is the best."""
    directory = CheckpointDirectory(folder)
    writing = directory.begin(step)
    (writing / "weights").write_text(f"weights of {step}")
    RunState(EarlyStopping(8, 0.001), BestStep(best_step, 0.5)).save(writing, [0.0, 0.0, 0.0])
    directory.commit(step, best_step=best_step)


def pushed(folder: Path, uri: str, *steps: int, best_step: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text('{"fingerprint": "mine"}')
    for step in steps:
        commit(folder, step, best_step)
        RemoteCheckpoints(folder, uri).push()


def fetched(folder: Path, uri: str) -> list[str]:
    RemoteCheckpoints(folder, uri).fetch()
    return sorted(path.name for path in folder.iterdir())


def whole(uri: str) -> list[str]:
    return sorted(transfers.matching(uri, "step-*/complete.json"))


def test_nothing_there_is_nothing_fetched(tmp_path: Path, uri: str) -> None:
    assert fetched(tmp_path / "here", uri) == []


def test_the_newest_goes_to_another_machine(tmp_path: Path, uri: str) -> None:
    pushed(tmp_path / "first", uri, 2, 4, 6)
    assert whole(uri) == ["step-4/complete.json", "step-6/complete.json"]
    assert fetched(tmp_path / "second", uri) == ["run.json", "step-6"]
    checkpoint = CheckpointDirectory(tmp_path / "second").newest()
    assert checkpoint is not None
    assert (checkpoint.path / "weights").read_text() == "weights of 6"
    assert json.loads((tmp_path / "second" / "run.json").read_text()) == {"fingerprint": "mine"}


def test_the_best_one_comes_too(tmp_path: Path, uri: str) -> None:
    pushed(tmp_path / "first", uri, 2, 4, 6, 8, best_step=2)
    assert fetched(tmp_path / "second", uri) == ["run.json", "step-2", "step-8"]


def test_a_half_copied_one_does_not_count(tmp_path: Path, uri: str) -> None:
    pushed(tmp_path / "first", uri, 2, 4)
    fsspec.filesystem("memory").rm_file(f"{uri}/step-4/complete.json")
    assert fetched(tmp_path / "second", uri) == ["run.json", "step-2"]
    commit(tmp_path / "second", 4)
    RemoteCheckpoints(tmp_path / "second", uri).push()
    assert whole(uri) == ["step-2/complete.json", "step-4/complete.json"]


def test_a_corrupt_one_gives_way_to_the_one_before(
    tmp_path: Path, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    pushed(tmp_path / "first", uri, 2, 4)
    with fsspec.open(f"{uri}/step-4/weights", "w") as stream:
        stream.write("weights of 5")
    assert fetched(tmp_path / "second", uri) == ["run.json", "step-2"]
    assert "weights is corrupt" in caplog.text
    assert whole(uri) == ["step-2/complete.json"]


def test_copies_go_when_their_originals_have_gone(tmp_path: Path, uri: str) -> None:
    pushed(tmp_path / "first", uri, 2, 4)
    with fsspec.open(f"{uri}/step-5/weights", "w") as stream:
        stream.write("of a machine that was lost while it copied")
    fetched(tmp_path / "second", uri)
    for step in (6, 8):
        commit(tmp_path / "second", step)
        RemoteCheckpoints(tmp_path / "second", uri).push()
    assert whole(uri) == ["step-6/complete.json", "step-8/complete.json"]
    kept = {name.partition("/")[0] for name in transfers.matching(uri, "**")}
    assert kept == {"run.json", "step-6", "step-8"}
