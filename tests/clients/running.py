"""Runs the scripts of clients as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clients.environments import node_modules, sdk_python
from tests.vertex.local_vertex import LocalVertex
from tests.vertex.templates import templates_with_registry

TEMPLATES = templates_with_registry()
TEXT_TEMPLATE = TEMPLATES / "tune-large-model.yaml"
CHAT_TEMPLATE = TEMPLATES / "tune-large-chat-model.yaml"
# A script that hangs must not hang the suite: seconds for one that only calls the service, and for
# one that waits for the whole flow on two busy cores.
_CALLS_LIMIT_S = 120
_FLOW_LIMIT_S = 900


def run_sdk(version: str, vertex: LocalVertex, script: str, *arguments: object) -> Any:
    """Runs a script of ``scripts/`` with one version of google-cloud-aiplatform.

    Args:
        version: One of SDK_VERSIONS.
        vertex: What the script sees as Google Cloud.
        script: The file's name.
        *arguments: The script's arguments.

    Returns:
        What the script reports in its last line of JSON.
    """
    path = Path(__file__).parent / "scripts" / script
    written = _run([sdk_python(version), path, *arguments], vertex.environment(), _limit(vertex))
    return _report(written)


def run_node(vertex: LocalVertex, script: str, *arguments: object) -> Any:
    """Runs a script of ``node/`` with the Node client.

    Args:
        vertex: What the script sees as Google Cloud.
        script: The file's name.
        *arguments: The script's arguments.

    Returns:
        What the script reports in its last line of JSON.
    """
    path = Path(__file__).parent / "node" / script
    variables = vertex.environment() | {"NODE_PATH": str(node_modules())}
    return _report(_run(["node", path, *arguments], variables, _limit(vertex)))


def run_curl(*arguments: object) -> Any:
    """Runs curl.

    Args:
        *arguments: Its arguments.

    Returns:
        The answer's JSON.
    """
    return json.loads(_run(["curl", "--silent", "--show-error", *arguments], {}, _CALLS_LIMIT_S))


@contextmanager
def meanwhile(act: Callable[[], bool]) -> Iterator[None]:
    """Acts beside a client that waits.

    Args:
        act: Called five times a second until it returns True or the block ends.

    Raises:
        AssertionError: If the block ends first.
    """
    ended = threading.Event()

    def repeat() -> bool:
        while not ended.wait(0.2):
            if act():
                return True
        return False

    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(repeat)
        try:
            yield
        finally:
            ended.set()
            # Raises what the acts raised: why a client waited in vain.
            done = acting.result()
    assert done, "the client ended before what it should have waited for"


def _report(written: str) -> Any:
    return json.loads(written.splitlines()[-1])


def _limit(vertex: LocalVertex) -> int:
    return _FLOW_LIMIT_S if vertex.backend.runner else _CALLS_LIMIT_S


def _run(command: list[object], variables: dict[str, str], limit_s: int) -> str:
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **variables},
            capture_output=True,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired as expired:
        # What it wrote until then is all that tells what it waited for.
        written = [(stream or b"").decode() for stream in (expired.stdout, expired.stderr)]
        raise AssertionError("\n".join([f"{expired}:", *written])) from None
    assert done.returncode == 0, "\n".join(
        [f"{command}:", done.stdout.decode(), done.stderr.decode()]
    )
    return done.stdout.decode()
