"""The container's command, with a real model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.components.serving.conftest import PRODUCT, RunningServer, StartServer


def predict(
    server: RunningServer, text: str, tokens: int = 4, request_id: str = ""
) -> tuple[int, str]:
    body = {"instances": [{"prompt": text}], "parameters": {"maxOutputTokens": tokens}}
    headers = {"Authorization": "Bearer very-secret", "X-Request-Id": request_id}
    request = urllib.request.Request(f"{server.url}/predict", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)["predictions"][0]["content"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_health_is_false_until_the_model_answers(start_server: StartServer) -> None:
    server = start_server(ready=False)
    assert server.health == (503, {"status": "loading"})
    assert predict(server, "hello")[0] == 503
    server.wait_until_ready()
    assert predict(server, "hello")[0] == 200


def test_logs_are_json_and_hold_no_prompt_answer_or_credential(server: RunningServer) -> None:
    status, answer = predict(server, "What nobody may read", 8, "log-1")
    assert status == 200
    assert predict(server, "What nobody may read" * 100, 8, "log-2")[0] == 400
    answered, refused = server.request_lines(2, "log-")
    assert (answered["status"], answered["output_tokens"]) == (200, 8)
    assert refused["status"] == 400
    for secret in ("What nobody may read", json.dumps(answer), "very-secret"):
        assert secret not in server.log


def test_prompts_are_logged_where_that_is_asked_for(start_server: StartServer) -> None:
    server = start_server(log_prompts=True)
    predict(server, "What somebody may read")
    assert "What somebody may read" in json.dumps(server.request_lines(1))
    assert "very-secret" not in server.log


@pytest.mark.slow
def test_told_to_end_under_load_every_request_is_answered(start_server: StartServer) -> None:
    server = start_server(drain_seconds=0)
    texts = [f"question {number}" for number in range(12)]
    expected = [predict(server, text, tokens=32) for text in texts]
    with ThreadPoolExecutor(len(texts)) as pool:
        answers = [pool.submit(predict, server, text, 32) for text in texts]
        while server.count("answers_under_way") < len(texts):
            assert not any(answer.done() for answer in answers)
        server.process.send_signal(signal.SIGTERM)
        assert [answer.result() for answer in answers] == expected
    assert server.wait_for_end() == 0


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", PRODUCT],
        env={**os.environ, "AIP_HTTP_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_settings_that_are_wrong_end_it_with_a_message(tmp_path: Path) -> None:
    done = run(KFP_LLM_TUNING_SERVING_MAXQUEUE="1", AIP_HEALTH_ROUTE="x")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: 2 problems:")
    assert "Did you mean KFP_LLM_TUNING_SERVING_MAX_QUEUE?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("model", ["", "missing"])
def test_a_model_that_is_not_there_ends_it_with_a_message(tmp_path: Path, model: str) -> None:
    done = run(AIP_STORAGE_URI=str(tmp_path / model) if model else "")
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith("Error: model: no ")
    assert "Traceback" not in done.stderr
