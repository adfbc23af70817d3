"""Packages: what is compiled for Kubeflow is taken by its API server, and registered once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.pipelines.kubeflow.connection import Connection
from kfp_llm_tuning.pipelines.kubeflow.package import pipeline_names, read_package, register
from kfp_llm_tuning.pipelines.templates.template import TemplateSource
from kfp_llm_tuning.pipelines.vertex.platform import vertex_platform
from tests.kubeflow.local_kubeflow import LocalKubeflow
from tests.pipelines.kubeflow.conftest import Compile

COMPILED = Path(__file__).parents[3] / "compiled" / "kubeflow"


@pytest.mark.parametrize("file", sorted(COMPILED.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_checked_in_is_registered_once(kubeflow_server: LocalKubeflow, file: Path) -> None:
    template = file.stem.removesuffix("-cpu")
    source = TemplateSource("example.com/images", file)
    package = read_package(template, source, vertex_platform)
    api = Connection(kubeflow_server.url).open()
    first = register(api, package)
    assert register(api, package) == first
    (version,) = kubeflow_server.backend.versions.values()
    assert version.message["name"] == package.version
    assert version.package.as_struct() == package.as_struct()
    assert pipeline_names(api) == {first.pipeline_id: template}
    accelerator = "CPU" if file.stem.endswith("-cpu") else "GPU"
    assert package.place == {
        "platform": "kubeflow",
        "platform_registry_uri": "",
        "platform_accelerator": accelerator,
        "platform_train_job": False,
    }


def test_every_option_is_taken(
    kubeflow_server: LocalKubeflow, compiled: Compile, tmp_path: Path
) -> None:
    file = tmp_path / "everything.yaml"
    file.write_text(compiled("everything").text, encoding="utf-8")
    source = TemplateSource("example.com/images", file)
    package = read_package("tune-large-model", source, vertex_platform)
    register(Connection(kubeflow_server.url).open(), package)
    assert len(kubeflow_server.backend.versions) == 1


def test_another_content_is_another_version() -> None:
    versions = {
        read_package(
            "tune-large-model",
            TemplateSource("example.com/images", COMPILED / f"{name}.yaml", caching),
            vertex_platform,
        ).version
        for name in ("tune-large-model", "tune-large-model-cpu")
        for caching in (True, False)
    }
    assert len(versions) == 4
