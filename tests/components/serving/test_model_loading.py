"""Bringing the model to this machine, and what is not served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fsspec
import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.manifest import write_manifest
from kfp_llm_tuning.components.generation.engine import GenerationRequest, Listener
from kfp_llm_tuning.components.models import base_models
from kfp_llm_tuning.components.models.checkpoint_files import local_file
from kfp_llm_tuning.components.models.safetensors_header import read_header
from kfp_llm_tuning.components.serving.model_loading import fetch, load_model
from kfp_llm_tuning.components.serving.settings import ServerSettings


@pytest.fixture
def folder(served_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may spoil."""
    return Path(shutil.copytree(served_folder, tmp_path / "model"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of downloaded models."""
    monkeypatch.setenv(base_models.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def upload(folder: Path, uri: str) -> None:
    filesystem, root = fsspec.core.url_to_fs(uri)
    if filesystem.exists(root):
        filesystem.rm(root, recursive=True)
    filesystem.put(f"{folder}/", f"{root}/", recursive=True)


def refused(model: object) -> str:
    with pytest.raises(UserError) as caught:
        fetch(str(model))
    assert {problem.where for problem in caught.value.problems} == {"model"}
    return str(caught.value)


def test_a_folder_stays_where_it_is(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert fetch(str(folder)) == fetch("model") == fetch(f"file://{folder}") == folder
    assert not cache.exists()


def test_a_model_elsewhere_is_brought_once_and_whole(folder: Path, cache: Path) -> None:
    upload(folder, "memory://models/intents")
    first = fetch("memory://models/intents")
    assert first.is_relative_to(cache)
    for path in folder.iterdir():
        if path.suffix in (".json", ".safetensors"):
            assert (first / path.name).read_bytes() == path.read_bytes()
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    again = fetch("memory://models/intents/")
    assert (again, (again / "model.safetensors").stat().st_mtime_ns) == (first, stamp)
    (folder / "tuning.json").write_text('{"max_output_tokens": 3}')
    upload(folder, "memory://models/intents")
    changed = fetch("memory://models/intents")
    assert json.loads((changed / "tuning.json").read_text()) == {"max_output_tokens": 3}


def test_nothing_named_and_nothing_there(tmp_path: Path, cache: Path) -> None:
    assert "no model is named" in refused("")
    assert "no folder at" in refused(tmp_path / "missing")
    assert "config.json" in refused(tmp_path)
    assert "memory://nowhere" in refused("memory://nowhere/model")
    assert "unknown scheme" in refused("nowhere://bucket/model")


def test_a_mount_that_is_not_there_is_read_as_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def bring(reference: object) -> Path:
        read.append(getattr(reference, "checkpoint"))  # noqa: B009
        raise PermissionError("403: may not read")

    monkeypatch.setattr(base_models, "materialise", bring)
    told = refused("/gcs/bucket/models/intents/")
    assert read == ["gs://bucket/models/intents"]
    assert "cannot read gs://bucket/models/intents/ (PermissionError: 403" in told


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin: such files can run any code" in refused(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_its_own_is_refused(folder: Path, file: str) -> None:
    facts = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**facts, "auto_map": {"AutoConfig": "code.Config"}}))
    assert f"{file} asks to run code" in refused(folder)


def test_weights_that_were_cut_off(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors is not whole" in refused(folder)
    assert "is not whole" in refused(folder)


def test_a_part_of_the_weights_that_is_missing(folder: Path) -> None:
    first, second = "model-1-of-2.safetensors", "model-2-of-2.safetensors"
    (folder / "model.safetensors").rename(folder / first)
    tensors = read_header(local_file(folder / first), first)
    parts = dict.fromkeys(tensors, first) | {next(iter(tensors)): second}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": parts}))
    assert "1 of 2 files of weights: model-2-of-2.safetensors" in refused(folder)
    shutil.copy(folder / first, folder / second)
    assert fetch(str(folder)) == folder


def test_the_model_has_answered_when_it_is_loaded(served_folder: Path) -> None:
    model = load_model(ServerSettings(model=str(served_folder), engine="transformers"))
    assert model.engine.alive
    assert model.max_output_tokens == 64
    model.engine.close()
    assert not model.engine.alive


def test_a_model_that_does_not_answer_is_not_served(
    served_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine

    def submit(_: object, request: GenerationRequest, listener: Listener) -> None:
        assert len(request.prompt) > 0
        listener.on_error(RuntimeError("no kernel for this device"))

    monkeypatch.setattr(TransformersEngine, "submit", submit)
    with pytest.raises(RuntimeError, match="no kernel"):
        load_model(ServerSettings(model=str(served_folder), engine="transformers"))


def test_a_copy_that_was_cut_off_or_changed_is_refused(folder: Path, cache: Path) -> None:
    write_manifest(folder)
    (folder / "README.md").unlink(missing_ok=True)
    upload(folder, "memory://models/whole")
    assert fetch("memory://models/whole").is_relative_to(cache)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    (folder / "tokenizer.json").write_text("{}")
    upload(folder, "memory://models/changed")
    told = refused("memory://models/changed")
    assert "model.safetensors is corrupt" in told
    assert "tokenizer.json has 2 bytes" in told
    assert "memory://models/changed is not whole, or was changed: copy it there again" in told
    assert not list(cache.glob("changed*[!.lock]"))


def test_weights_changed_on_this_machine_are_not_loaded(folder: Path) -> None:
    write_manifest(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="model.safetensors is corrupt"):
        load_model(ServerSettings(str(folder), engine="transformers"))
