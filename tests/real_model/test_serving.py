"""Over HTTP the tuned model answers as it was evaluated, to clients of both APIs."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.components.serving.conftest import PRODUCT, RunningServer, running_server
from tests.real_model.runs import RealRun

TASK = "clinc150-adapter"


@pytest.fixture(scope="module")
def served(
    runs: Callable[[str], RealRun], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("served") / "log"
    with running_server(PRODUCT, log, model=runs(TASK).model) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="module")
def evaluated(runs: Callable[[str], RealRun]) -> list[tuple[str, dict[str, Any]]]:
    """Some questions, and what the evaluation says was answered."""
    run = runs(TASK)
    lines = (run.folder.parent / "evaluation.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["input_text"] for line in lines]
    return [(questions[answer["line"] - 1], answer) for answer in run.answers(tuned=True)[:5]]


def test_predict_answers_as_evaluated(
    served: RunningServer, evaluated: list[tuple[str, dict[str, Any]]]
) -> None:
    body = json.dumps({"instances": [{"prompt": question} for question, _ in evaluated]})
    request = urllib.request.Request(f"{served.url}/predict", body.encode())
    with urllib.request.urlopen(request, timeout=300) as response:
        predictions = json.load(response)["predictions"]
    found = [prediction["content"] for prediction in predictions]
    assert found == [answer["prediction"] for _, answer in evaluated]


def test_chat_completions_answer_as_evaluated(
    served: RunningServer, evaluated: list[tuple[str, dict[str, Any]]]
) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none")
    (model,) = client.models.list().data
    for question, answer in evaluated:
        completion = client.chat.completions.create(
            model=model.id, messages=[{"role": "user", "content": question}], temperature=0
        )
        (choice,) = completion.choices
        assert choice.message.content == answer["prediction"]
        assert choice.finish_reason == "stop"
        assert completion.usage is not None
        # The end of the turn is one of them.
        assert completion.usage.completion_tokens in (answer["tokens"], answer["tokens"] + 1)
