"""A small whole checkpoint to damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.models import byte_tiny

Edit = Callable[..., None]


@pytest.fixture(scope="session")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    folder.mkdir()
    byte_tiny.build(folder)
    return folder


@pytest.fixture
def checkpoint(_whole: Path, tmp_path: Path) -> Path:
    """A copy of byte-tiny of the test's own."""
    return Path(shutil.copytree(_whole, tmp_path / "model"))


@pytest.fixture
def edit(checkpoint: Path) -> Edit:
    """Changes a JSON file of the copy; None takes a key out."""

    def change(file: str, **values: Any) -> None:
        path = checkpoint / file
        facts = json.loads(path.read_text()) if path.is_file() else {}
        facts = {key: value for key, value in {**facts, **values}.items() if value is not None}
        path.write_text(json.dumps(facts))

    return change
