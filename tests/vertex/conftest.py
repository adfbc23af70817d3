"""Fixtures of the tests of the local Vertex AI.

kfp reads annotations as they stand: no `from __future__ import annotations` here.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform
from kfp import compiler, dsl

from tests.vertex.local_vertex import LocalVertex, local_vertex


@pytest.fixture
def idle_vertex(tmp_path: Path) -> Iterator[LocalVertex]:
    """A local Vertex AI that runs nothing by itself; this process is redirected to it."""
    with local_vertex(tmp_path / "vertex") as vertex:
        vertex.storage.create_bucket("bucket")
        yield vertex


@pytest.fixture(params=["grpc", "rest"])
def sdk(request: pytest.FixtureRequest, idle_vertex: LocalVertex) -> LocalVertex:
    """The same, with the SDK set up for one transport and then the other."""
    aiplatform.init(
        project=idle_vertex.project, location=idle_vertex.location, api_transport=request.param
    )
    return idle_vertex


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled pipeline called demo: text (required), number and flag (optional)."""

    @dsl.component(base_image="python:3.11")
    def say(text: str) -> str:
        return text

    @dsl.pipeline(name="demo")
    def demo(text: str, number: int = 3, flag: bool = False) -> None:
        say(text=text)

    path = tmp_path_factory.mktemp("template") / "demo.yaml"
    compiler.Compiler().compile(demo, str(path))
    return path


@pytest.fixture
def new_job(template: Path) -> Callable[..., aiplatform.PipelineJob]:
    """Makes jobs of the template that have not been submitted."""

    def make(**options: Any) -> aiplatform.PipelineJob:
        settings: dict[str, Any] = {
            "display_name": "a demo",
            "template_path": str(template),
            "parameter_values": {"text": "hello"},
            "pipeline_root": "gs://bucket/runs",
            **options,
        }
        return aiplatform.PipelineJob(**settings)

    return make
