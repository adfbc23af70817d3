"""The whole published flow, really run: tune, find the tuned model, ask it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.conftest import StartVertex
from tests.clients.environments import SDK_VERSIONS
from tests.clients.running import TEMPLATES, run_sdk
from tests.vertex.local_vertex import LocalVertex

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800)]
# As published.
_TOO_LONG = re.compile(
    r"The model supports up to (8192|6144) input tokens, but received \d+ tokens"
)
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
    answers = report["answers"]
    assert answers["greedy"] == report["answers_of_loaded"]["greedy"]
    assert _TOO_LONG.search(answers["too_long"])
    if kind == "code":
        _check_code(answers)
    if kind == "chat":
        _check_chat(answers)
    if kind == "text":
        _check_text(answers)
        _check_endpoint(report["answers_of_endpoint"], answers["greedy"])
        [experiment] = report["experiments"]
        assert experiment.startswith("large-language-model-tuner-")


def _check_text(answers: dict[str, Any]) -> None:
    greedy = answers["greedy"]
    assert re.fullmatch("[a-z]{8}", greedy)
    assert answers["stopped"] == greedy[: greedy.index(greedy[2])]
    first, again, other = answers["drawn"]
    assert first == again != other
    assert len(set(first)) == 2
    assert all(re.fullmatch("[b-z]{8}", text) for text in [*first, *other])
    assert answers["safety"] == [False, {}]
    logprobs = answers["logprobs"]
    assert "".join(logprobs["tokens"]) == greedy[:3]
    assert all(value <= 0 for value in logprobs["tokenLogProbs"])
    assert all(len(likeliest) >= 2 for likeliest in logprobs["topLogProbs"])
    counts = answers["metadata"]["tokenMetadata"]
    assert counts["outputTokenCount"]["totalTokens"] == 8
    assert "1024" in answers["too_many"]


def _check_code(answers: dict[str, Any]) -> None:
    assert isinstance(answers["filled"], str)
    assert len(answers["drawn"]) == 2


def _check_chat(answers: dict[str, Any]) -> None:
    authors, contents = zip(*answers["history"], strict=True)
    assert authors == ("user", "bot") * 3
    assert list(contents[1::2]) == answers["answers"]
    assert len(answers["drawn"]) == 2
    assert answers["drawn"][0] == answers["answers"][2]


def _check_endpoint(answers: dict[str, Any], greedy: str) -> None:
    assert answers["predicted"] == answers["raw"]
    assert answers["predicted"][0] == greedy
    pieces = [event["predictions"][0]["content"] for event in answers["streamed"]]
    assert "".join(pieces) == greedy
    assert "metadata" in answers["streamed"][-1]
    status, message = answers["refused"]
    assert status == 400
    assert "instances" in message
