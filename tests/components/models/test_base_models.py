"""Where base models come from, what of them is fetched, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import fsspec
import huggingface_hub
import pytest
from huggingface_hub import errors as hub_errors

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models import base_models, byte_tiny
from kfp_llm_tuning.components.models.base_models import (
    materialise,
    resolved_revision,
    tokenizer_folder,
)
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(base_models.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    byte_tiny.build(folder)
    return folder


def _copy(model: Path, target: Path) -> Path:
    target.mkdir()
    for path in model.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_byte_tiny_is_built_once(cache: Path) -> None:
    folder = materialise(resolve("byte-tiny"))
    assert folder.parent == cache
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert materialise(resolve("byte-tiny")) == folder == tokenizer_folder(resolve("byte-tiny"))
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert load_tokenizer(folder)("é")["input_ids"] == [1, 0xC3 + 3, 0xA9 + 3]


def test_concurrent_builders_build_once(cache: Path) -> None:
    built: list[Path] = []
    barrier = threading.Barrier(4)

    def make(folder: Path) -> None:
        built.append(folder)
        (folder / "file").write_text("whole")

    def run() -> None:
        barrier.wait()
        assert (base_models._make_once("thing", make) / "file").read_text() == "whole"

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert sorted(path.name for path in cache.iterdir()) in (["thing"], ["thing", "thing.lock"])


_DIE_WHILE_BUILDING = """
import os, signal
from kfp_llm_tuning.components.models import base_models

def make(folder):
    (folder / "file").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

base_models._make_once("thing", make)
"""


def test_a_killed_builder_leaves_nothing_that_is_read(cache: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", _DIE_WHILE_BUILDING], timeout=60, check=False)
    assert killed.returncode == -9
    assert not (cache / "thing").exists()
    folder = base_models._make_once("thing", lambda path: _write(path / "file", "whole"))
    assert (folder / "file").read_text() == "whole"


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def test_a_local_folder_is_used_where_it_stands(model: Path) -> None:
    assert materialise(resolve(str(model))) == model
    assert materialise(resolve(f"file://{model}")) == model


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder at .*nowhere"):
        materialise(resolve(str(tmp_path / "nowhere")))


def test_a_folder_without_config(model: Path, tmp_path: Path) -> None:
    folder = _copy(model, tmp_path / "m")
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"has no config\.json"):
        materialise(resolve(str(folder)))


def test_pickled_weights_are_refused_with_the_reason(model: Path, tmp_path: Path) -> None:
    folder = _copy(model, tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"only as pytorch_model\.bin: such files can run any code"):
        materialise(resolve(str(folder)))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(UserError, match=r"has no \*\.safetensors"):
        materialise(resolve(str(folder)))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused(model: Path, tmp_path: Path, file: str) -> None:
    folder = _copy(model, tmp_path / "m")
    values = json.loads((folder / file).read_text())
    values["auto_map"] = {"AutoConfig": "code.Config"}
    (folder / file).write_text(json.dumps(values))
    with pytest.raises(UserError, match=rf"{file} asks to run code .*\(auto_map\)"):
        materialise(resolve(str(folder)))
    with pytest.raises(UserError, match=rf"{file} asks to run code"):
        load_tokenizer(tokenizer_folder(resolve(str(folder))))


_LOAD = """
import sys
from pathlib import Path
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer
print(load_tokenizer(Path(sys.argv[1]))("a b")["input_ids"], "torch" in sys.modules)
"""


def test_a_tokenizer_that_stands_as_it_is_needs_no_torch(model: Path) -> None:
    from transformers import AutoTokenizer

    command = [sys.executable, "-c", _LOAD, str(model)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == f"{AutoTokenizer.from_pretrained(model)('a b')['input_ids']} False\n"


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "LlamaTokenizerFast", None])
def test_other_tokenizers_are_read_by_the_auto_class(
    name: str | None, model: Path, tmp_path: Path
) -> None:
    folder = _copy(model, tmp_path / "other")
    config = folder / "tokenizer_config.json"
    facts = json.loads(config.read_text()) | {"tokenizer_class": name}
    config.write_text(json.dumps({key: value for key, value in facts.items() if value}))
    assert load_tokenizer(folder)("é")["input_ids"] == [1, 0xC3 + 3, 0xA9 + 3]


def test_a_folder_without_tokenizer(model: Path, tmp_path: Path) -> None:
    folder = _copy(model, tmp_path / "m")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(UserError, match="no readable tokenizer"):
        load_tokenizer(folder)


def test_storage_is_downloaded_once_and_anew_when_it_changes(model: Path, cache: Path) -> None:
    files = fsspec.filesystem("memory")
    files.makedirs("/models/m", exist_ok=True)
    for path in model.iterdir():
        files.pipe_file(f"/models/m/{path.name}", path.read_bytes())
    files.pipe_file("/models/m/pytorch_model.bin", b"never fetched")
    files.pipe_file("/models/m/consolidated.safetensors", b"never fetched")
    reference = resolve("memory://models/m")

    tokenizer_only = tokenizer_folder(reference)
    assert not list(tokenizer_only.glob("*.safetensors"))
    folder = materialise(reference)
    assert (folder / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert not (folder / "pytorch_model.bin").exists()
    assert not (folder / "consolidated.safetensors").exists()
    assert materialise(reference) == folder

    files.pipe_file("/models/m/generation_config.json", b'{"eos_token_id": 2, "top_k": 5}')
    changed = materialise(reference)
    assert changed != folder
    assert json.loads((changed / "generation_config.json").read_text())["top_k"] == 5
    files.rm("/models", recursive=True)


def test_storage_that_is_not_there() -> None:
    with pytest.raises(UserError, match="cannot read the folder memory://nowhere"):
        materialise(resolve("memory://nowhere"))


def test_the_hub_is_asked_for_safe_files_of_the_pinned_revision(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: dict[str, Any] = {}
    snapshot = _copy(model, tmp_path / ("c" * 40))

    def download(repository: str, **options: Any) -> str:
        asked.update(options, repository=repository)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "model_info", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    reference = resolve("text-bison@002")
    folder = materialise(reference)
    assert asked["repository"] == "Qwen/Qwen2.5-7B-Instruct"
    assert asked["revision"] == "a09a35458c702b33eeacc393d103063234e8bc28"
    assert "*.safetensors" in asked["allow_patterns"]
    assert not any("bin" in p or p.endswith(".py") for p in asked["allow_patterns"])
    assert resolved_revision(reference, folder) == "c" * 40
    assert "text-bison@002 is closed" in caplog.text
    tokenizer_folder(reference)
    assert "*.safetensors" not in asked["allow_patterns"]


class _Response:
    status_code = 404
    headers: dict[str, str] = {}
    request = None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (hub_errors.GatedRepoError, "Qwen/Qwen3-4B is gated. Accept its licence"),
        (hub_errors.RepositoryNotFoundError, "the hub has no Qwen/Qwen3-4B, or it is private"),
        (hub_errors.RevisionNotFoundError, "Qwen/Qwen3-4B has no revision 'main'"),
        (hub_errors.LocalEntryNotFoundError, "copy the model's folder here"),
        (ConnectionError, "cannot download Qwen/Qwen3-4B: broken"),
    ],
)
def test_what_the_hub_refuses_is_told_with_what_to_do(
    error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        if issubclass(error, hub_errors.HfHubHTTPError):
            raise error("broken", response=_Response())  # type: ignore[call-arg]
        raise error("broken")

    monkeypatch.setattr(huggingface_hub, "model_info", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(UserError) as caught:
        materialise(resolve("qwen3-4b"))
    assert message in str(caught.value)


@pytest.mark.parametrize("reference", ["hf://nobody/nothing-of-this-name", "text-bison@002"])
def test_without_a_network_the_hub_is_asked_once_and_the_message_says_what_to_do(
    reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("tried again"))
    with pytest.raises(UserError, match="copy the model's folder here, to gs:// or to s3://"):
        tokenizer_folder(resolve(reference))


def test_weights_of_the_hub_are_here_once_they_were_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    reference = resolve(f"hf://org/name@{'0' * 40}")
    assert not base_models.has_weights_here(reference)
    assert base_models.has_weights_here(resolve("byte-tiny"))
