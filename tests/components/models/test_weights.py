"""Headers and the index tell which weights are there, and whether their files are whole."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models.checkpoint_files import local_files
from kfp_llm_tuning.components.models.safetensors_header import Tensor
from kfp_llm_tuning.components.models.weights import read_tensors

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    save_file({"a": np.zeros((2, 3), np.float32)}, tmp_path / FIRST)
    save_file({"b": np.zeros((0, 4), np.int8), "c": np.float16([1])}, tmp_path / SECOND)
    index = {"weight_map": {"a": FIRST, "b": SECOND, "c": SECOND}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    return tmp_path


def _read(folder: Path) -> dict[str, Tensor]:
    return read_tensors(local_files(folder), "m")


def _told(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        _read(folder)
    return str(caught.value)


def test_every_tensor_of_every_shard_is_read(sharded: Path) -> None:
    assert _read(sharded) == {
        "a": Tensor("F32", (2, 3)),
        "b": Tensor("I8", (0, 4)),
        "c": Tensor("F16", (1,)),
    }


def test_all_shards_that_are_missing_or_cut_off_are_told(sharded: Path) -> None:
    (sharded / FIRST).unlink()
    content = (sharded / SECOND).read_bytes()
    (sharded / SECOND).write_bytes(content[:-1])
    told = _told(sharded)
    assert f"m: lacks 1 of 2 files of weights: {FIRST}." in told
    assert f"m/{SECOND}: is not whole: its tensors take 2 bytes, the file has 1" in told


def test_tensors_that_only_the_index_has(sharded: Path) -> None:
    (sharded / SECOND).write_bytes((sharded / FIRST).read_bytes())
    assert "lacks 2 tensors that its index names: b, c" in _told(sharded)


@pytest.mark.parametrize(
    "index", [{}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": {"a": "../../x"}}]
)
def test_an_index_that_names_no_files(index: object, sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names no files of weights" in _told(sharded)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"adapter_config.json", "adapter_model.safetensors"}, "is a PEFT adapter, not a model"),
        ({"weights.safetensors"}, "has weights.safetensors, but neither model.safetensors nor"),
        ({"m.Q4_K_M.gguf"}, "GGUF is for inference"),
        ({"pytorch_model.bin"}, "such files can run any code"),
        ({"config.json"}, "has no *.safetensors"),
    ],
)
def test_other_forms_of_weights_are_named(files: set[str], message: str, tmp_path: Path) -> None:
    for file in files:
        (tmp_path / file).touch()
    assert message in _told(tmp_path)


def _header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "make",
    [
        lambda whole: b"",
        lambda whole: whole[:20],
        lambda whole: b"\xff" * 100,
        lambda whole: _header(b"[" * 5000),
        lambda whole: _header(b'{"a": 3}'),
        lambda whole: _header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, -4]}}'),
        lambda whole: _header(b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 0]}}'),
        lambda whole: whole + b"more",
        lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    ],
)
def test_what_is_no_whole_safetensors_file_is_refused(
    make: Callable[[bytes], bytes], sharded: Path
) -> None:
    content = make((sharded / FIRST).read_bytes())
    (sharded / "model.safetensors").write_bytes(content)
    assert "m/model.safetensors" in _told(sharded)
