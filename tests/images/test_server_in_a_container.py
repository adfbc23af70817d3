"""The prediction server as process 1 of its container."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.models import byte_tiny
from tests.images.podman import Podman

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]

INSTANCES = [{"content": "Which team answers this message?"}]
# Tokens of an answer that is still being written when the server is told to end.
LONG = 1000
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """A container that serves byte-tiny."""

    podman: Podman
    name: str
    url: str

    def health(self) -> int:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def predict(self, limit: int) -> dict[str, Any]:
        body = json.dumps({"instances": INSTANCES, "parameters": {"maxOutputTokens": limit}})
        request = urllib.request.Request(
            f"{self.url}/predict", body.encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            content: dict[str, Any] = json.load(answer)
        return content

    def answers_under_way(self) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        (value,) = re.findall(r"^kfp_llm_tuning_answers_under_way\{.*\} (.+)$", text, re.MULTILINE)
        return float(value)

    def logs(self) -> str:
        done = self.podman.call("logs", self.name)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """byte-tiny, untrained."""
    folder = tmp_path_factory.mktemp("model") / "byte-tiny"
    byte_tiny.build(folder)
    # safetensors writes files that none but their owner can read.
    (folder / "model.safetensors").chmod(0o644)
    return folder


@pytest.fixture
def server(podman: Podman, serving_image: str, model: Path) -> Iterator[Server]:
    """A container with the image's own command, once it answers."""
    options = [
        *("--publish=127.0.0.1::8080", f"--volume={model}:/model:ro"),
        *("--env=AIP_STORAGE_URI=/model", "--env=KFP_LLM_TUNING_SERVING_DRAIN_SECONDS=1"),
        "--env=OMP_NUM_THREADS=1",
    ]
    name = podman.call("run", "--detach", *options, serving_image).stdout.strip()
    address = podman.call("port", name, "8080").stdout.strip()
    found = Server(podman, name, f"http://{address}")
    try:
        while (status := found.health()) != 200:
            assert podman.call("ps", "--quiet").stdout, found.logs()
            assert status in (0, 503)
            time.sleep(0.5)
        yield found
    finally:
        podman.call("rm", "--force", name)


def test_it_answers_and_ends_when_it_is_told_to(server: Server) -> None:
    processes = server.podman.call("top", server.name, "pid", "args").stdout.splitlines()
    assert any(line.split()[0] == "1" and "components.serving" in line for line in processes)
    (prediction,) = server.predict(4)["predictions"]
    assert isinstance(prediction["content"], str)

    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(server.predict(LONG)))
    asking.start()
    while not server.answers_under_way():
        assert asking.is_alive()
        time.sleep(0.01)
    server.podman.call("stop", f"--time={PATIENCE_SECONDS}", server.name)
    asking.join()
    # podman would have killed it (137) after its patience.
    code = server.podman.call("inspect", "--format={{.State.ExitCode}}", server.name).stdout
    assert code.strip() == "0", server.logs()
    logged = server.logs()
    assert logged.index("Told to end by SIGTERM") < logged.rindex("/predict 200")
    (answered,) = answers
    assert answered["metadata"]["tokenMetadata"]["outputTokenCount"]["totalTokens"] > 0
    assert answered["predictions"]
