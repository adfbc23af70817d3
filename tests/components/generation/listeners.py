"""A listener of engines that records what it is called with."""

from __future__ import annotations

import threading

from kfp_llm_tuning.components.generation.engine import Generation, TokenLogprobs


class RecordingListener:
    """Records the calls for one request; no call may follow the last.

    Attributes:
        tokens: The tokens so far.
        logprobs: What came beside them.
        finished: As of ``on_end``; None before.
        error: As of ``on_error``; None before.
        begun: Set at the first token.
        under_way: Set at the twentieth.
        ended: Set at the last call.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.logprobs: list[TokenLogprobs | None] = []
        self.finished: bool | None = None
        self.error: Exception | None = None
        self.begun = threading.Event()
        self.under_way = threading.Event()
        self.ended = threading.Event()

    def on_token(self, token: int, logprobs: TokenLogprobs | None) -> None:
        assert not self.ended.is_set()
        self.tokens.append(token)
        self.logprobs.append(logprobs)
        self.begun.set()
        if len(self.tokens) == 20:
            self.under_way.set()

    def on_end(self, finished: bool) -> None:
        assert not self.ended.is_set()
        self.finished = finished
        self.ended.set()

    def on_error(self, error: Exception) -> None:
        assert not self.ended.is_set()
        self.error = error
        self.ended.set()

    def wait(self) -> Generation:
        """Waits for the end and gives what was written."""
        assert self.ended.wait(60)
        if self.error is not None:
            raise self.error
        return self.generation

    @property
    def generation(self) -> Generation:
        """What was written."""
        assert self.finished is not None
        logprobs = tuple(each for each in self.logprobs if each is not None)
        return Generation(self.tokens, self.finished, logprobs)
