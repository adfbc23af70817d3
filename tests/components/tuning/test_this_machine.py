"""A tuner that is started on a machine which nothing of ours tunes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kfp_llm_tuning.components.tuning import this_machine
from kfp_llm_tuning.components.tuning.__main__ import main

V3 = {"machineType": "cloud-tpu", "acceleratorType": "TPU_V3", "acceleratorCount": 32}
V6E = {"machineType": "ct6e-standard-4t", "tpuTopology": "2x2"}
A100 = {"machineType": "a2-highgpu-1g", "acceleratorType": "NVIDIA_TESLA_A100"}


def cluster(machine: dict[str, Any], *, as_text: bool) -> str:
    job = {"workerPoolSpecs": [{"machineSpec": machine, "containerSpec": {"args": ["TPU_V3"]}}]}
    return json.dumps({"task": {}, "job": json.dumps(job) if as_text else job})


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize(
    ("machine", "accelerator"), [(V3, "TPU"), (V6E, "TPU"), (A100, "CPU"), ({}, "CPU")]
)
def test_what_vertex_ai_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, machine: dict[str, Any], accelerator: str, as_text: bool
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv(this_machine.CLUSTER_VARIABLE, cluster(machine, as_text=as_text))
    assert this_machine.accelerator_here() == accelerator


@pytest.mark.parametrize("text", ["", "{", "[]", '{"job": 1}', '{"job": {"workerPoolSpecs": [1]}}'])
def test_a_cluster_of_another_form_says_nothing(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(this_machine.CLUSTER_VARIABLE, text)
    assert this_machine.accelerator_here() in ("CPU", "GPU")


@pytest.mark.parametrize(
    ("vendor", "device", "accelerator"),
    [("0x1ae0", "0x0063", "TPU"), ("0x1ae0", "0x0042", "CPU"), ("0x10de", "0x0063", "CPU")],
)
def test_tpu_chips_are_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vendor: str, device: str, accelerator: str
) -> None:
    chip = tmp_path / "0000:00:04.0"
    chip.mkdir()
    (chip / "vendor").write_text(f"{vendor}\n")
    (chip / "device").write_text(f"{device}\n")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(this_machine, "_PCI_DEVICES", tmp_path)
    assert this_machine.accelerator_here() == accelerator


def test_the_tuner_does_not_start_on_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(this_machine.CLUSTER_VARIABLE, cluster(V3, as_text=True))
    words = ["--payload", '{"model_reference": "byte-tiny"}', "--train-dataset", str(tmp_path)]
    result = CliRunner().invoke(main, [*words, "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "machine: this is a TPU machine, and no engine of this version tunes on TPU." in (
        result.output
    )
    assert not list(tmp_path.iterdir())
