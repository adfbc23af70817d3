"""The whole published flow, really run: tune, find the tuned model, ask it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.conftest import StartVertex
from tests.clients.environments import SDK_VERSIONS
from tests.clients.running import TEMPLATES, run_sdk
from tests.vertex.local_vertex import LocalVertex

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800)]
_LABEL = "google-vertex-llm-tuning-base-model-id"


@pytest.fixture(scope="module", params=SDK_VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def vertex(version: str, start_vertex: StartVertex) -> Iterator[LocalVertex]:
    """A local Vertex AI that runs what it is given, for one SDK."""
    with start_vertex(execute=True) as vertex:
        yield vertex


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("text", "text-bison-002"),
        ("preview", "text-bison-001"),
        ("code", "code-bison-002"),
        ("chat", "chat-bison-002"),
    ],
)
def test_a_model_is_tuned_found_and_asked(
    kind: str, label: str, version: str, vertex: LocalVertex
) -> None:
    report = run_sdk(version, vertex, "tune_and_predict.py", kind, vertex.project, TEMPLATES)
    assert vertex.store[report["model"]].labels[_LABEL] == label
    [deployed] = vertex.store[report["endpoint"]].deployed_models
    assert deployed.model == report["model"]
    texts = report["answers"] + report["answers_of_loaded"]
    assert texts and all(isinstance(text, str) for text in texts)
    if kind == "chat":
        assert report["answers"][2:] == ["user", "bot", "user", "bot"]
    if kind == "text":
        [experiment] = report["experiments"]
        assert experiment.startswith("large-language-model-tuner-")
