from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import fsspec
import pytest

from kfp_llm_tuning.components.common import transfers
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning.places import TuningPlaces
from kfp_llm_tuning.components.tuning.staging import SCRATCH_VARIABLE, staged


@pytest.fixture
def remote(tmp_path: Path) -> TuningPlaces:
    """Places in memory; the training set is there."""
    base = f"memory://{tmp_path.name}"
    with fsspec.open(f"{base}/train/encoding.json", "w") as stream:
        stream.write("{}")
    return TuningPlaces(f"{base}/train", "", f"{base}/model", f"{base}/metrics", f"{base}/kept")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "_PAUSES", ())


def write_model(output: Path, *names: str) -> None:
    output.mkdir()
    for name in names:
        (output / name).write_text(name)


def found(uri: str) -> set[str]:
    return set(transfers.matching(uri, "*"))


def test_local_places_are_used_as_they_are(tmp_path: Path) -> None:
    places = TuningPlaces(str(tmp_path / "t"), "", f"file://{tmp_path}/o", "m", "c")
    with staged(places) as staging:
        assert staging.paths.train_dataset == tmp_path / "t"
        assert staging.paths.evaluation_dataset is None
        assert staging.paths.output == tmp_path / "o"
        assert (staging.paths.metrics, staging.paths.checkpoints) == (Path("m"), Path("c"))
    assert list(tmp_path.iterdir()) == []


def test_remote_places_are_fetched_and_published(remote: TuningPlaces) -> None:
    with fsspec.open(f"{remote.output}/old.safetensors", "w") as stream:
        stream.write("of another run")
    with staged(remote) as staging:
        assert (staging.paths.train_dataset / "encoding.json").read_text() == "{}"
        write_model(staging.paths.output, "config.json", "model.safetensors", "tuning.json")
        write_model(staging.paths.metrics, "history.jsonl")
        assert found(remote.metrics) == set()
    assert not staging.scratch.exists()
    assert found(remote.output) == {"config.json", "model.safetensors", "tuning.json"}
    assert found(remote.metrics) == {"history.jsonl"}


def test_a_run_that_fails_publishes_nothing(remote: TuningPlaces) -> None:
    with pytest.raises(RuntimeError, match="failed"), staged(remote) as staging:
        write_model(staging.paths.output, "config.json")
        raise RuntimeError("failed")
    assert not staging.scratch.exists()
    assert found(remote.output) == set()


def test_a_half_published_model_is_no_model(
    remote: TuningPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.json", "tuning.json"):
        with fsspec.open(f"{remote.output}/{name}", "w") as stream:
            stream.write("of another run")
    filesystem = fsspec.filesystem("memory")
    put_file = filesystem.put_file

    def failing(source: str, path: str, **keywords: object) -> None:
        if path.endswith("model.safetensors"):
            raise OSError("Forbidden")
        put_file(source, path, **keywords)

    monkeypatch.setattr(filesystem, "put_file", failing)
    message = r"output: cannot write .*Forbidden.*run the same command"
    with pytest.raises(UserError, match=message), staged(remote) as staging:
        write_model(staging.paths.output, "a.txt", "config.json", "model.safetensors")
        write_model(staging.paths.metrics, "history.jsonl")
    assert found(remote.output) == {"a.txt"}


def test_a_dataset_that_is_not_there_is_the_users_mistake(remote: TuningPlaces) -> None:
    places = dataclasses.replace(remote, train_dataset="memory://no/such/set")
    with (
        pytest.raises(UserError, match="train_dataset: cannot read memory://no/such/set"),
        staged(places),
    ):
        pass


def test_one_of_several_processes_uses_what_the_first_has_staged(
    remote: TuningPlaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UserError, match="Leave torchrun out"), staged(remote):
        pass
    monkeypatch.setenv(SCRATCH_VARIABLE, str(tmp_path))
    with staged(remote) as staging:
        assert staging.paths.train_dataset == tmp_path / "train"
        write_model(staging.paths.output, "config.json")
    assert found(remote.output) == set()
    assert staging.paths.output.exists()


def test_metrics_are_copied_to_where_vertex_ai_shows_them(
    remote: TuningPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = remote.metrics.replace("metrics", "logs")
    monkeypatch.setenv("AIP_TENSORBOARD_LOG_DIR", live)
    with staged(remote) as staging:
        write_model(staging.paths.metrics, "history.jsonl")
        mirror = staging.mirror()
        mirror.on_evaluate(None, _Main(), None)
        mirror.wait()
        assert found(live) == found(remote.metrics) == {"history.jsonl"}
        write_model(staging.paths.output, "config.json")
    assert "AIP_TENSORBOARD_LOG_DIR" in os.environ


class _Main:
    is_world_process_zero = True
