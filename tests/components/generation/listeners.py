"""Listeners of engines."""

from __future__ import annotations

import threading

from kfp_llm_tuning.components.generation.engine import TokenLogprobs


class Heard:
    """Keeps what it hears.

    Attributes:
        end: Whether the answer was finished, or the error; None before.
        begun: Set at the first token.
        under_way: Set at the twentieth.
        ended: Set at the end.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.logprobs: list[TokenLogprobs | None] = []
        self.end: bool | Exception | None = None
        self.begun = threading.Event()
        self.under_way = threading.Event()
        self.ended = threading.Event()

    def on_token(self, token: int, logprobs: TokenLogprobs | None) -> None:
        self.tokens.append(token)
        self.logprobs.append(logprobs)
        self.begun.set()
        if len(self.tokens) == 20:
            self.under_way.set()

    def on_end(self, finished: bool) -> None:
        self.end = finished
        self.ended.set()

    def on_error(self, error: Exception) -> None:
        self.end = error
        self.ended.set()
