"""A listener that remembers, and what a model writes when it is asked in the plainest way."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch

from kfp_llm_tuning.components.generation.engine import Generation, TokenLogprobs


class Heard:
    """What a listener heard of one request.

    Attributes:
        tokens: The tokens so far.
        logprobs: What was told beside them.
        finished: As of ``on_end``; None before.
        error: As of ``on_error``; None before.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.logprobs: list[TokenLogprobs | None] = []
        self.finished: bool | None = None
        self.error: Exception | None = None
        self._begun = threading.Event()
        self._ended = threading.Event()

    def on_token(self, token: int, logprobs: TokenLogprobs | None) -> None:
        assert not self.has_ended
        self.tokens.append(token)
        self.logprobs.append(logprobs)
        self._begun.set()

    def on_end(self, finished: bool) -> None:
        assert not self.has_ended
        self.finished = finished
        self._ended.set()

    def on_error(self, error: Exception) -> None:
        assert not self.has_ended
        self.error = error
        self._ended.set()

    @property
    def has_ended(self) -> bool:
        """Whether the last call came."""
        return self._ended.is_set()

    def wait_for_first(self) -> None:
        """Waits for the first token."""
        assert self._begun.wait(60)

    def wait(self) -> Generation:
        """Waits for the end and gives what was written."""
        assert self._ended.wait(60)
        if self.error is not None:
            raise self.error
        return self.generation

    @property
    def generation(self) -> Generation:
        """What was written."""
        assert self.finished is not None
        told = tuple(each for each in self.logprobs if each is not None)
        return Generation(self.tokens, self.finished, told)


def greedy(model: Any, prompt: Sequence[int], count: int, stops: Sequence[int]) -> Generation:
    """Writes the likeliest tokens, reading everything anew for each, with no cache."""
    tokens = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            token = int(model(torch.tensor([tokens])).logits[0, -1].argmax())
        if token in stops:
            return Generation(tokens[len(prompt) :], finished=True)
        tokens.append(token)
    return Generation(tokens[len(prompt) :], finished=False)
