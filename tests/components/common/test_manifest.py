from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common import manifest
from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.manifest import (
    MANIFEST_FILE,
    damages,
    is_loaded,
    verify,
    write_manifest,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with its list."""
    for name in ("config.json", "model.safetensors", "README.md", "adapter/weights.safetensors"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode() * 100)
    write_manifest(tmp_path)
    return tmp_path


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_whole_folder_has_no_damage_and_may_hold_more(folder: Path) -> None:
    (folder / "MLmodel").touch()
    assert damages(folder) == []
    verify(folder)


def test_every_damaged_file_is_told(folder: Path) -> None:
    halve(folder / "model.safetensors")
    flip_a_bit(folder / "config.json")
    (folder / "adapter" / "weights.safetensors").unlink()
    assert damages(folder) == [
        "adapter/weights.safetensors is missing",
        "config.json is corrupt: it has the right size and other contents",
        "model.safetensors has 850 bytes, not 1,700",
    ]
    with pytest.raises(UserError, match="model.safetensors has 850") as raised:
        verify(folder, "saved_model")
    assert len(raised.value.problems) == 3


@pytest.mark.parametrize("change", [lambda text: text[:-20], lambda text: "[]", lambda text: ""])
def test_a_damaged_list_is_a_damage(folder: Path, change: Callable[[str], str]) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(change(path.read_text()))
    assert damages(folder)[0].startswith("manifest.json cannot be read")
    with pytest.raises(UserError, match="manifest.json cannot be read"):
        verify(folder)


def test_sizes_alone_cost_no_reading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flip_a_bit(folder / "config.json")
    halve(folder / "model.safetensors")
    monkeypatch.delattr(manifest, "_hash")
    assert damages(folder, contents=False) == ["model.safetensors has 850 bytes, not 1,700"]


def test_a_copy_without_card_and_adapter_is_loaded(folder: Path) -> None:
    (folder / "adapter" / "weights.safetensors").unlink()
    (folder / "README.md").unlink()
    assert damages(folder, among=is_loaded) == []


def test_a_model_of_another_tool_is_let_through(folder: Path) -> None:
    (folder / MANIFEST_FILE).unlink()
    halve(folder / "model.safetensors")
    verify(folder)
    assert damages(folder) == ["manifest.json is missing"]


def test_the_list_names_every_file_but_itself(folder: Path) -> None:
    write_manifest(folder)
    assert sorted(json.loads((folder / MANIFEST_FILE).read_text())["files"]) == [
        "README.md",
        "adapter/weights.safetensors",
        "config.json",
        "model.safetensors",
    ]
