"""Predictions of a deployed model, in the shapes that clients send and read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.tuning import byte_tiny
from tests.vertex.execution import predict
from tests.vertex.redirect.sitecustomize import STORAGE_FOLDER_VARIABLE


class Deployment:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        weights = folder / "bucket" / "model"
        weights.mkdir(parents=True)
        byte_tiny.build(weights)
        provenance = {"prompt_format": "plain", "max_input_tokens": 64, "max_output_tokens": 8}
        (weights / "tuning.json").write_text(json.dumps(provenance))

    def ask(self, instances: Sequence[Any], parameters: Any = None) -> list[Any]:
        environment = {STORAGE_FOLDER_VARIABLE: str(self._folder)}
        model = {"artifactUri": "gs://bucket/model"}
        return predict(model, instances, parameters, environment, self._folder / "deployment")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return Deployment(tmp_path_factory.mktemp("storage"))


def test_text_and_code(deployment: Deployment) -> None:
    instances = [{"prompt": "ab"}, {"content": "ab"}, {"prefix": "a", "suffix": "b"}]
    answers = deployment.ask([*instances, {"prefix": "ab", "suffix": None}])
    assert [set(answer) for answer in answers] == [
        {"content", "safetyAttributes", "citationMetadata"}
    ] * 4
    assert len({answer["content"] for answer in answers}) == 1
    assert answers[0]["safetyAttributes"]["blocked"] is False


def test_a_conversation(deployment: Deployment) -> None:
    instance = {
        "context": "Be kind.",
        "examples": [{"input": {"content": "1"}, "output": {"content": "2"}}],
        "messages": [
            {"author": "user", "content": "3"},
            {"author": "bot", "content": "4"},
            {"author": "user", "content": "5"},
        ],
    }
    (answer,) = deployment.ask([instance])
    (candidate,) = answer["candidates"]
    assert isinstance(candidate["content"], str)
    assert len(answer["safetyAttributes"]) == len(answer["citationMetadata"]) == 1


@pytest.mark.parametrize("name", ["maxOutputTokens", "maxDecodeSteps"])
def test_the_limit_of_an_answer(deployment: Deployment, name: str) -> None:
    (short,) = deployment.ask([{"prompt": "a"}], {name: 1.0, "temperature": 0.2, "topK": 40})
    (long,) = deployment.ask([{"prompt": "a"}])
    assert len(short["content"].encode()) <= 1
    assert long["content"].startswith(short["content"])


@pytest.mark.parametrize(
    ("instances", "parameters"),
    [
        ([{"text": "a"}], None),
        (["a"], None),
        ([{"messages": [{"author": "bot", "content": "a"}]}], None),
        ([{"messages": ["a"]}], None),
        ([{"prompt": "a"}], {"maxOutputTokens": "many"}),
        ([{"prompt": "a"}], {"maxOutputTokens": -1}),
    ],
)
def test_wrong_requests_are_refused(
    deployment: Deployment, instances: list[Any], parameters: Any
) -> None:
    with pytest.raises(ValueError):
        deployment.ask(instances, parameters)
