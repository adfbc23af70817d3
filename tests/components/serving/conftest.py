"""Servers for tests: processes of their own, as a container or ``serve`` runs them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kfp_llm_tuning.components.serving.settings import SETTINGS, variable

_ROOT = Path(__file__).parents[3]
_VARIABLES = {name: variable(name) for name in SETTINGS}

PRODUCT = "kfp_llm_tuning.components.serving"
STAND_IN = "tests.components.serving.stand_in"


@dataclass(frozen=True)
class RunningServer:
    """A server in a process of its own.

    Attributes:
        url: Where it listens, without a slash behind.
        process: The process.
        log_file: What it writes to stderr.
    """

    url: str
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def port(self) -> int:
        """The port it listens at."""
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self.log_file.read_text(encoding="utf-8")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log as objects."""
        # What is being written has no end yet.
        return [json.loads(line) for line in self.log.splitlines(keepends=True) if line[-1] == "\n"]

    def request_lines(self, count: int, ids: str = "") -> list[dict[str, Any]]:
        """Waits for so many lines about requests whose ids begin like that.

        A line is written when its answer is out.
        """
        lines: list[dict[str, Any]] = []

        def are_written() -> bool:
            lines[:] = [
                line
                for line in self.lines
                if "status" in line and line["request_id"].startswith(ids)
            ]
            return len(lines) >= count

        _wait(are_written, self)
        return lines

    @property
    def health(self) -> tuple[int, dict[str, str]]:
        """Status and body of its health route."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def count(self, name: str, **labels: str) -> float:
        """Reads one of its counts; the sum of those that have the labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as response:
            families = text_string_to_metric_families(response.read().decode())
            return sum(
                sample.value
                for family in families
                for sample in family.samples
                if sample.name == f"kfp_llm_tuning_{name}"
                and labels.items() <= sample.labels.items()
            )

    def wait_until_ready(self) -> None:
        """Waits until the model answers."""
        _wait(lambda: self.health[0] == 200, self)

    def wait_for_end(self) -> int:
        """Waits for the process, and gives its exit code."""
        return self.process.wait(60)


StartServer = Callable[..., RunningServer]


@pytest.fixture(scope="session")
def served_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """byte-tiny as a tuned model's folder."""
    from kfp_llm_tuning.components.models import byte_tiny

    folder = tmp_path_factory.mktemp("served") / "byte-tiny"
    folder.mkdir()
    byte_tiny.build(folder)
    provenance = {"prompt_format": "plain", "max_input_tokens": 1024, "max_output_tokens": 64}
    (folder / "tuning.json").write_text(json.dumps(provenance))
    return folder


@pytest.fixture(scope="session")
def server(
    served_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """The server with byte-tiny, ready; many tests share it."""
    log = tmp_path_factory.mktemp("server") / "log"
    with running_server(PRODUCT, log, model=served_folder) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def start_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers with other settings, given by name; ``ready=False`` does not wait for them.

    ``module=STAND_IN`` has a stand-in for the model and both APIs, and is there in no time.
    """
    with ExitStack() as servers:

        def start(*, module: str = PRODUCT, ready: bool = True, **settings: Any) -> RunningServer:
            log = tmp_path / f"server-{len(list(tmp_path.glob('server-*')))}.log"
            if "model" not in settings:
                is_real = module == PRODUCT
                settings["model"] = request.getfixturevalue("served_folder") if is_real else "none"
            running = servers.enter_context(running_server(module, log, **settings))
            if ready:
                running.wait_until_ready()
            return running

        yield start


@contextmanager
def running_server(module: str, log: Path, **settings: Any) -> Iterator[RunningServer]:
    """Runs a server for as long as the block runs.

    Args:
        module: PRODUCT or STAND_IN.
        log: File that takes what it writes to stderr.
        settings: By name.

    Yields:
        The server; it listens, and may still be loading.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, value in {"host": "127.0.0.1", "port": 0, **settings}.items():
        environment[_VARIABLES[name]] = str(value)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=_ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=stream,
        )
    try:
        yield _listening(process, log)
    finally:
        process.kill()
        process.wait()


def _listening(process: subprocess.Popen[bytes], log: Path) -> RunningServer:
    """Waits for the line that tells where the server listens."""
    running = RunningServer("", process, log)
    _wait(lambda: "Listening at" in running.log, running)
    return dataclasses.replace(running, url=running.lines[0]["url"])


def _wait(condition: Callable[[], bool], running: RunningServer) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"The server ended, or does not come:\n{running.log}")
        time.sleep(0.02)
