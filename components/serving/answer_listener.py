"""Hears the tokens of one answer in the engine's thread, and passes on what is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.serving.answer import Answer, Piece, ScoredToken

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.engine import TokenLogprobs
    from kfp_llm_tuning.components.serving.incremental_detokenizer import IncrementalDetokenizer


class AnswerListener:
    """Makes one answer of the tokens that an engine writes; a `Listener` of the engine's."""

    def __init__(
        self,
        index: int,
        tell: Callable[[Piece | Exception], None],
        decode: Callable[[Sequence[int]], str],
        detokenizer: IncrementalDetokenizer | None,
        streamed: bool,
    ) -> None:
        """Begins with no token.

        Args:
            index: Which of the answers that are wanted.
            tell: Takes pieces, the last with the whole answer, or else the error; in the engine's
                thread.
            decode: Turns tokens into text.
            detokenizer: Follows the text token by token, which only stop texts, streams and the
                places of scored tokens need.
            streamed: Whether to tell of pieces as they come.
        """
        self._index = index
        self._tell = tell
        self._decode = decode
        self._detokenizer = detokenizer
        self._streamed = streamed
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprobs] = []
        self._first_token: float | None = None
        self._scored_taken = 0
        self._over = False

    def on_token(self, token: int, logprobs: TokenLogprobs | None) -> None:
        """Hears of the next token."""
        if self._over:
            return
        if self._first_token is None:
            self._first_token = time.monotonic()
        self._tokens.append(token)
        if logprobs is not None:
            self._logprobs.append(logprobs)
        if self._detokenizer is None:
            return
        if self._detokenizer.add(token):
            self._finish(finished=True)
        elif self._streamed and (text := self._detokenizer.take()):
            self._tell(Piece(self._index, text, self._new_scored()))

    def on_end(self, finished: bool) -> None:
        """Hears that the model ended, or the limit was reached."""
        if self._over:
            return
        if self._detokenizer is not None:
            self._detokenizer.end()
            finished = finished or self._detokenizer.stopped
        self._finish(finished)

    def on_error(self, error: Exception) -> None:
        """Hears that there will be no answer."""
        if not self._over:
            self._over = True
            self._tell(error)

    def _finish(self, finished: bool) -> None:
        self._over = True
        rest = self._detokenizer.take() if self._detokenizer else ""
        text = self._detokenizer.text if self._detokenizer else self._decode(self._tokens)
        new = self._new_scored()
        answer = Answer(
            text=text,
            tokens=len(self._tokens),
            finished=finished,
            scored=self._scored(0, self._scored_taken),
            first_token=self._first_token or time.monotonic(),
        )
        self._tell(Piece(self._index, rest if self._streamed else text, new, answer))

    def _new_scored(self) -> tuple[ScoredToken, ...]:
        """Takes the scored tokens whose text is told."""
        if self._detokenizer is None or not self._logprobs:
            return ()
        start, self._scored_taken = self._scored_taken, self._detokenizer.tokens_taken()
        return self._scored(start, self._scored_taken)

    def _scored(self, start: int, end: int) -> tuple[ScoredToken, ...]:
        if self._detokenizer is None or not self._logprobs:
            return ()
        return tuple(
            ScoredToken(self._tokens[at], self._detokenizer.starts[at], self._logprobs[at])
            for at in range(start, end)
        )
