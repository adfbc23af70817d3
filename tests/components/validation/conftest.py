"""What tests of validation share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.validation import dataset as dataset_module
from kfp_llm_tuning.components.validation.base_model import ExaminedModel
from tests.components.validation.datasets import Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows as JSONL and gives the path."""

    def write_rows(rows: Iterable[Any], name: str = "train.jsonl") -> str:
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(file)

    return write_rows


@pytest.fixture
def no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the tokens out where a test is not about them."""
    monkeypatch.setattr(dataset_module, "examine", lambda *_: ExaminedModel())
