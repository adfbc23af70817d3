"""A run is held against this machine's memory, and large downloads are asked about."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.host_memory import HostMemory
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.pipelines.local_runs import machine_here, tuning_run
from kfp_llm_tuning.pipelines.local_runs.machine_here import (
    disk_problems,
    download_bytes,
    memory_problems,
)
from kfp_llm_tuning.pipelines.requests.request import DEFAULT_TEMPLATE, Request
from tests.pipelines.conftest import EXAMPLE


def holds(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(machine_here, "host_memory", lambda: HostMemory(size, size))


@pytest.fixture
def laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    holds(monkeypatch, 16 * 10**9)
    monkeypatch.setattr(machine_here, "has_weights_here", lambda _: False)


@pytest.mark.usefixtures("laptop")
def test_a_model_that_a_laptop_cannot_hold_is_refused() -> None:
    (problem,) = memory_problems(resolve("llama-3.1-8b-instruct"), {})
    assert problem.where == "large_model_reference"
    assert "8 billion weights" in problem.what and "16 GB" in problem.what
    assert not memory_problems(resolve("smollm2-135m-instruct"), {})
    assert not memory_problems(resolve("gs://bucket/some-model"), {})


@pytest.mark.usefixtures("laptop")
def test_a_doubt_is_told_and_stands_against_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    holds(monkeypatch, 19 * 10**9)
    with caplog.at_level(logging.WARNING):
        assert memory_problems(resolve("text-bison@001"), {}) == []
    assert "It may not fit" in caplog.text


@pytest.mark.usefixtures("laptop")
def test_large_weights_that_are_not_here_are_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert download_bytes(resolve("text-bison@001")) == pytest.approx(15.2e9, rel=0.01)
    assert download_bytes(resolve("smollm2-135m-instruct")) == 0
    monkeypatch.setattr(machine_here, "has_weights_here", lambda _: True)
    assert download_bytes(resolve("text-bison@001")) == 0


def test_disks_that_are_too_small_are_told_with_what_they_are_to_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_here, "has_weights_here", lambda _: False)
    monkeypatch.setattr(machine_here, "_hub_cache", lambda: tmp_path / "hub")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Mock(free=40 * 10**9))
    reference = resolve("text-bison@001")
    (problem,) = disk_problems(reference, {}, tmp_path / "runs")
    assert "checkpoints and tuned model" in problem.what and "base model 15.2 GB" in problem.what
    assert "40.0 are free" in problem.what
    monkeypatch.setattr(machine_here, "has_weights_here", lambda _: True)
    assert not disk_problems(reference, {}, tmp_path / "runs")
    assert not disk_problems(resolve("gs://bucket/some-model"), {}, tmp_path)


def test_a_run_that_is_not_to_download_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(what: str) -> None:
        raise UserError(Problem(what))

    holds(monkeypatch, 10**12)
    monkeypatch.setattr(machine_here, "has_weights_here", lambda _: False)
    values = {
        "large_model_reference": "text-bison@001",
        "dataset_uri": str(EXAMPLE / "train.jsonl"),
        "model_display_name": "router",
    }
    with pytest.raises(UserError, match="15 GB to download"):
        tuning_run.begin(
            Request(DEFAULT_TEMPLATE, values), tmp_path / "runs", confirm_download=refuse
        )
    assert not list(tmp_path.glob("runs/*/run.json"))
