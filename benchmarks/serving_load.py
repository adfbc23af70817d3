"""What the benchmarks of servers share: processes that serve, and clients that ask them."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Load:
    """What one round of closed-loop clients saw.

    Attributes:
        rate: Requests a second.
        median: Seconds that half of the requests took at most.
        slowest: Seconds that 99 of 100 requests took at most.
    """

    rate: float
    median: float
    slowest: float

    @property
    def latency(self) -> str:
        """The two times for a reader."""
        return f"p50 {self.median * 1000:,.0f} ms, p99 {self.slowest * 1000:,.0f} ms"


def measure(url: str, clients: int, texts: list[str], body: Callable[[str], bytes]) -> Load:
    """Sends every text once, after a few that warm up.

    Args:
        url: Where to.
        clients: So many send at once, each its next text when the last is answered.
        texts: What is asked.
        body: Makes a text's request.

    Returns:
        What the clients saw.
    """
    asyncio.run(_clients(url, clients, texts[: 2 * clients], body))
    start = time.perf_counter()
    seconds = sorted(asyncio.run(_clients(url, clients, texts, body)))
    rate = len(texts) / (time.perf_counter() - start)
    return Load(rate, statistics.median(seconds), seconds[int(0.99 * len(seconds))])


def fastest(rounds: list[Load]) -> Load:
    """Gives the round with the most requests a second."""
    return max(rounds, key=lambda seen: seen.rate)


def measure_each(
    url: str, texts: list[str], body: Callable[[str], bytes], rounds: dict[int, list[Load]]
) -> None:
    """Measures a server with each number of clients.

    Args:
        url: Where to.
        texts: What is asked.
        body: Makes a text's request.
        rounds: By the number of clients; takes what they saw.
    """
    for clients, seen in rounds.items():
        seen.append(measure(url, clients, texts, body))


async def _clients(
    url: str, clients: int, texts: list[str], body: Callable[[str], bytes]
) -> list[float]:
    waiting = iter(texts)
    seconds: list[float] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for text in waiting:
            start = time.perf_counter()
            async with session.post(url, data=body(text), headers=_HEADERS) as response:
                answer = await response.read()
                if response.status != 200:
                    raise RuntimeError(f"{response.status}: {answer!r}")
            seconds.append(time.perf_counter() - start)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return seconds


def our_body(tokens: int) -> Callable[[str], bytes]:
    """Makes requests for the route of published endpoints.

    Args:
        tokens: Tokens of every answer.

    Returns:
        Makes a text's request.
    """
    return lambda text: json.dumps(
        {"instances": [{"prompt": text}], "parameters": {"maxOutputTokens": tokens}}
    ).encode()


def completions_body(model: str, tokens: int) -> Callable[[str], bytes]:
    """Makes requests for OpenAI's route, as a plain text is written for a tuned model.

    Args:
        model: The model's name there.
        tokens: Tokens of every answer.

    Returns:
        Makes a text's request.
    """
    return lambda text: json.dumps(
        {"model": model, "prompt": f"{text}\n", "max_tokens": tokens, "temperature": 0}
    ).encode()


def chat_body(model: str, tokens: int) -> Callable[[str], bytes]:
    """Makes requests for OpenAI's route of conversations, of one message each.

    Args:
        model: The model's name there.
        tokens: Most tokens of an answer.

    Returns:
        Makes a text's request.
    """

    def body(text: str) -> bytes:
        messages = [{"role": "user", "content": text}]
        asked = {"model": model, "messages": messages, "max_tokens": tokens, "temperature": 0}
        return json.dumps(asked).encode()

    return body


@contextmanager
def our_server(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Runs the prediction server.

    Args:
        folder: The model.
        *options: Of the command ``serve``.

    Yields:
        The address of its predictions, and its process.
    """
    port = free_port()
    command = [str(Path(sys.executable).with_name("kfp-llm-tuning")), "serve", str(folder)]
    command += ["--port", str(port), *options]
    with running(command, f"http://127.0.0.1:{port}/health") as process:
        yield f"http://127.0.0.1:{port}/predict", process


@contextmanager
def running(command: list[str], health: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server.

    Args:
        command: Starts it.
        health: Address that answers 200 once it serves.

    Yields:
        The process; it is ended afterwards.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _is_healthy(health):
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}.")
            time.sleep(0.2)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _is_healthy(health: str) -> bool:
    try:
        with urllib.request.urlopen(health) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def prompts(count: int) -> list[str]:
    """Makes texts of 20 to 400 letters, the same ones every time.

    Args:
        count: How many.

    Returns:
        The texts.
    """
    generator = random.Random(0)
    return [
        "".join(chr(generator.randint(97, 122)) for _ in range(generator.randint(20, 400)))
        for _ in range(count)
    ]


def free_port() -> int:
    """Finds a port that nobody listens at.

    Returns:
        The port.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
