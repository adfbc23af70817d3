"""A base model is examined where it is: in storage by its names, sizes and headers alone."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from kfp_llm_tuning.components.models import base_models
from kfp_llm_tuning.components.models.base_inspection import inspect_base
from kfp_llm_tuning.components.models.model_references import resolve


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(base_models.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_weights_in_storage_are_examined_without_a_download(tiny_model: Path, cache: Path) -> None:
    files = fsspec.filesystem("memory")
    files.makedirs("/examined/m", exist_ok=True)
    for path in tiny_model.iterdir():
        files.pipe_file(f"/examined/m/{path.name}", path.read_bytes())
    reference = resolve("memory://examined/m")
    assert inspect_base(reference).problems == []
    assert not list(cache.rglob("*.safetensors"))

    weights = (tiny_model / "model.safetensors").read_bytes()
    files.pipe_file("/examined/m/model.safetensors", weights[:-8])
    (problem,) = inspect_base(reference).problems
    assert problem.where == "large_model_reference"
    assert "memory://examined/m/model.safetensors is not whole" in problem.what
    files.rm("/examined", recursive=True)
