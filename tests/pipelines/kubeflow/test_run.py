"""The graph that is compiled for Kubeflow does its work.

It is run by kfp.local, which takes no notice of pods, on the built-in model.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from kfp import local
from kfp.dsl.base_component import BaseComponent

from kfp_llm_tuning.components.tracking.connection import connect
from kfp_llm_tuning.pipelines.graphs.build import build
from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions
from kfp_llm_tuning.pipelines.kubeflow.options_file import default_options, options_from
from kfp_llm_tuning.pipelines.kubeflow.platform import kubeflow_platform

# kfp.local says of each task that it gives it no processors and no memory of its own.
pytestmark = pytest.mark.filterwarnings("ignore:Task .* have no effect:UserWarning")

EXAMPLE = Path(__file__).parents[3] / "examples" / "support" / "train.jsonl"


def pipeline_of(options: KubeflowOptions) -> BaseComponent:
    platform = kubeflow_platform(options.without_accelerators())
    # kfp.local fills in every placeholder of ours but this one.
    return build("tune-large-model", dataclasses.replace(platform, run_time="2026-11-24T09:00:00Z"))


@pytest.mark.slow
def test_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "train.jsonl"
    data.write_text("\n".join(EXAMPLE.read_text(encoding="utf-8").splitlines()[:24]))
    claim = {"claim": "shared", "mount_path": str(tmp_path)}
    options = options_from({"claims": [claim], "checkpoint_root": f"{tmp_path}/checkpoints"})
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "outputs"))
    registry = f"sqlite:///{tmp_path}/mlflow.db"
    run = pipeline_of(options)(
        project="any",
        model_display_name="router-{date}",
        large_model_reference="byte-tiny",
        dataset_uri=str(data),
        train_steps=2,
        registry_uri=registry,
    )
    assert run.outputs["model_resource_name"] == "models/router-2026-11-24@1"
    (version,) = connect(registry).search_model_versions()
    (checkpoints,) = (tmp_path / "checkpoints").iterdir()
    # Named after the run, as the registered version is.
    assert checkpoints.name in json.dumps(dict(version.tags))
    assert (checkpoints / "step-2" / "complete.json").is_file()


def test_a_run_without_a_registry_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(tmp_path / "outputs"),
        raise_on_error=False,
    )
    pipeline = pipeline_of(default_options())
    pipeline(project="any", model_display_name="router", dataset_uri="s3://bucket/train.jsonl")
    shown = "".join(capfd.readouterr())
    assert "registry_uri: is empty, and the pipeline was compiled without a registry" in shown
