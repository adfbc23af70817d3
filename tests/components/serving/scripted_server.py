"""The whole application around a scripted engine, called without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx import Response

from kfp_llm_tuning.components.serving.admission import State
from kfp_llm_tuning.components.serving.app import create_app
from kfp_llm_tuning.components.serving.settings import ServerSettings
from tests.components.serving.scripted_engine import ScriptedEngine, scripted_model

NAME = "my-model"


class ScriptedServer:
    """A server whose model writes what a test says.

    Attributes:
        app: The application.
        engine: What writes.
        client: Calls it.
    """

    def __init__(self, folder: Path, limits: dict[str, int], **settings: Any) -> None:
        model = scripted_model(folder, **limits)
        assert isinstance(model.engine, ScriptedEngine)
        self.engine = model.engine
        given = ServerSettings(model=str(folder), model_name=NAME, **settings)
        self.app = create_app(given, lambda: model)
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def predict(self, *instances: Any, stream: bool = False, **parameters: Any) -> Response:
        body = {"instances": list(instances), "parameters": parameters, "stream": stream}
        return self.client.post("/predict", json=body)

    def chat(self, *contents: str, **rest: Any) -> Response:
        roles = ("user", "assistant")
        messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]
        body = {"model": NAME, "messages": messages, **rest}
        return self.client.post("/v1/chat/completions", json=body)

    def complete(self, prompt: Any, **rest: Any) -> Response:
        return self.client.post("/v1/completions", json={"model": NAME, "prompt": prompt, **rest})


@contextmanager
def scripted_server(
    folder: Path, limits: dict[str, int] | None = None, **settings: Any
) -> Iterator[ScriptedServer]:
    """Runs a server until the block ends.

    Args:
        folder: An empty one.
        limits: Of the model.
        **settings: The server's.
    """
    server = ScriptedServer(folder, limits or {}, **settings)
    with server.client:
        service = server.app.state.service
        while service.admission.state is State.LOADING:
            server.client.get("/health")
        yield server


def events(response: Response) -> list[Any]:
    """Gives the events of a stream; ``[DONE]`` as a text."""
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    parts = response.content.split(b"\n\n")
    assert parts.pop() == b""
    data = [part.removeprefix(b"data: ").decode("ascii") for part in parts]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


async def leave_early(server: ScriptedServer, path: str, body: dict[str, Any]) -> list[Any]:
    """Calls a route and leaves when the engine has begun to write.

    Returns:
        What the server sent nevertheless.
    """
    messages = iter([{"type": "http.request", "body": json.dumps(body).encode()}])
    sent: list[Any] = []

    async def receive() -> Any:
        message = next(messages, None)
        if message is None:
            while not server.engine.tickets:
                await asyncio.sleep(0.001)
            return {"type": "http.disconnect"}
        return message

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-length", b"1")],
        "app": server.app,
    }
    await server.app(scope, receive, send)
    return sent
