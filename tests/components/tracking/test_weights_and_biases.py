"""Weights & Biases with its own package, offline: what it wrote is read back from its files."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.tracking.live_curves import live_curves
from kfp_llm_tuning.components.tracking.tracked_run import RUN_ID_VARIABLE
from kfp_llm_tuning.components.tracking.weights_and_biases import missing_package, report_figures

_HEADER, _BLOCK = 7, 32 * 1024
_FULL, _LAST = 1, 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Weights & Biases writes, offline."""
    for name in ("WANDB_PROJECT", "WANDB_API_KEY", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv(RUN_ID_VARIABLE, "intents/1")
    return tmp_path


def records_of(file: Path, kind: str) -> list[Any]:
    """Reads the records of a run: LevelDB's log format behind a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, found, start, whole = file.read_bytes(), [], _HEADER, b""
    while start + _HEADER <= len(data):
        left = _BLOCK - start % _BLOCK
        if left < _HEADER:
            start += left
            continue
        _, length, part = struct.unpack_from("<IHB", data, start)
        whole += data[start + _HEADER : start + _HEADER + length]
        start += _HEADER + length
        if part in (_FULL, _LAST):
            record = wandb_internal_pb2.Record.FromString(whole)
            whole = b""
            if record.WhichOneof("record_type") == kind:
                found.append(getattr(record, kind))
    return found


def items_of(record: Any, field: str) -> dict[str, str]:
    return {
        item.key or "/".join(item.nested_key): item.value_json for item in getattr(record, field)
    }


def test_curves_and_figures_are_one_run_of_the_pipeline_run(folder: Path) -> None:
    (curves,) = live_curves("", "intents", "wandb", {"train_steps": 20})
    curves.add([{"step": 10, "/train_total_loss": 2.5}, {"step": 20, "/train_total_loss": 1.5}])
    curves.close()
    report_figures("intents/1", "intents", {"tuned/accuracy": 0.75})
    tuned, evaluated = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    assert tuned.name == evaluated.name == "run-intents-1.wandb"
    (run,) = records_of(tuned, "run")
    assert (run.project, run.display_name) == ("kfp-llm-tuning", "intents")
    assert items_of(run.config, "update")["train_steps"] == "20"
    history = [items_of(record, "item") for record in records_of(tuned, "history")]
    assert [(one["_step"], one["train_total_loss"]) for one in history] == [
        ("10", "2.5"),
        ("20", "1.5"),
    ]
    summary = [items_of(record, "update") for record in records_of(evaluated, "summary")]
    assert {"tuned/accuracy": "0.75"} in summary


def test_a_missing_package_is_a_mistake_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert missing_package("wandb") == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert missing_package("") == []
    (problem,) = missing_package("wandb")
    assert "pip install 'kfp-llm-tuning[wandb]'" in problem.fix
