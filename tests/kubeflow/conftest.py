"""Fixtures of the tests of the local Kubeflow Pipelines.

kfp reads annotations as they stand: no `from __future__ import annotations` here.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from kfp import Client, compiler, dsl, kubernetes

from tests.kubeflow.local_kubeflow import LocalKubeflow, local_kubeflow


@pytest.fixture
def kubeflow(tmp_path: Path) -> Iterator[LocalKubeflow]:
    """A local Kubeflow Pipelines that runs nothing by itself."""
    with local_kubeflow(tmp_path / "kubeflow") as server:
        yield server


@pytest.fixture
def client(kubeflow: LocalKubeflow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Client:
    """The client that kfp ships, of that server."""
    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return Client(host=kubeflow.url)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled pipeline called demo, with settings for Kubernetes.

    Its parameters: text (required), number and flag (optional).
    """

    @dsl.component(base_image="python:3.11")
    def say(text: str) -> str:
        return text

    @dsl.pipeline(name="demo")
    def demo(text: str, number: int = 3, flag: bool = False) -> None:
        task = say(text=text)
        kubernetes.add_node_selector(task, "pool", "gpu")
        say(text="last").after(task)

    path = tmp_path_factory.mktemp("package") / "demo.yaml"
    compiler.Compiler().compile(demo, str(path))
    return path
