"""An engine that writes what it is told to, for tests that are exact about what crosses it."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.generation import tuned_model
from kfp_llm_tuning.components.generation.engine import (
    GenerationRequest,
    Listener,
    TokenLogprobs,
    Tokens,
)
from kfp_llm_tuning.components.generation.tuned_model import TunedModel
from kfp_llm_tuning.components.models import byte_tiny


@dataclasses.dataclass(frozen=True)
class Line:
    """What the engine writes to one prompt.

    Attributes:
        tokens: All of it; cut at the request's limit.
        error: Comes after the tokens, in the place of an end.
        wait: Awaited before the tokens that follow the first.
    """

    tokens: Sequence[int]
    error: Exception | None = None
    wait: threading.Event | None = None


class Ticket:
    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


class ScriptedEngine:
    """Writes by a script, each answer in a thread of its own; tokens are bytes, as byte-tiny's.

    Attributes:
        script: Says what is written to a request.
        requests: All that were submitted.
        tickets: Theirs.
        alive: As the server asks for it.
    """

    def __init__(self) -> None:
        self.tokenizer: Any = byte_tiny.build_tokenizer()
        self.device, self.precision = "cpu", "float32"
        self.context_length = 16_384
        self.script: Callable[[GenerationRequest], Line] = lambda _: Line(())
        self.requests: list[GenerationRequest] = []
        self.tickets: list[Ticket] = []
        self.alive = True

    def says(self, text: str, **rest: Any) -> None:
        """Has the engine write one text to everybody."""
        self.script = lambda _: Line(self.tokens(text), **rest)

    def tokens(self, text: str) -> list[int]:
        """Turns a text into tokens, with nothing around them."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def prompts(self) -> list[str]:
        """Gives the prompts as texts."""
        return self.decode([request.prompt for request in self.requests])

    def submit(self, request: GenerationRequest, listener: Listener) -> Ticket:
        if not self.alive:
            raise RuntimeError("The engine is closed.")
        ticket = Ticket()
        self.requests.append(request)
        self.tickets.append(ticket)
        line = self.script(request)
        threading.Thread(target=_write, args=(request, line, listener, ticket)).start()
        return ticket

    def decode(self, texts: Sequence[Tokens], kept: Collection[int] = ()) -> list[str]:
        decoded: list[str] = self.tokenizer.batch_decode(
            [list(text) for text in texts], skip_special_tokens=True
        )
        return decoded

    def close(self) -> None:
        self.alive = False


def _write(request: GenerationRequest, line: Line, listener: Listener, ticket: Ticket) -> None:
    tokens = line.tokens[: request.max_new_tokens]
    for number, token in enumerate(tokens):
        if number == 1 and line.wait:
            line.wait.wait()
        if ticket.cancelled.is_set():
            return
        listener.on_token(token, _logprobs(request, token))
    if line.error:
        listener.on_error(line.error)
    else:
        listener.on_end(len(line.tokens) <= request.max_new_tokens)


def _logprobs(request: GenerationRequest, token: int) -> TokenLogprobs | None:
    count = request.sampling.logprobs
    if count is None:
        return None
    likeliest = tuple((token + rank, -0.5 - rank) for rank in range(count))
    return TokenLogprobs(-0.5 if count else -math.inf, likeliest)


def scripted_model(
    folder: Path,
    engine: ScriptedEngine | None = None,
    prompt_format: str = "plain",
    **limits: int,
) -> TunedModel:
    """Makes a tuned model that a scripted engine runs.

    Args:
        folder: An empty one.
        engine: The engine, where it is not one like others.
        prompt_format: How its prompts are written.
        limits: Of the model; else those of the published ones.
    """
    provenance = {"prompt_format": prompt_format, **limits}
    (folder / "config.json").write_text("{}")
    (folder / "tuning.json").write_text(json.dumps(provenance))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuned_model, "open_engine", lambda *_: engine or ScriptedEngine())
        return TunedModel(folder)
