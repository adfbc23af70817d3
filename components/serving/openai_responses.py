"""Answers as OpenAI's API writes them: whole, or in chunks."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from kfp_llm_tuning.components.serving.logprobs import chat_logprobs, completion_logprobs

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.answer import Answer, Piece, ScoredToken
    from kfp_llm_tuning.components.serving.openai_requests import CompletionRequest


class CompletionWriter(ABC):
    """Writes the answers to one request.

    Attributes:
        kind: What OpenAI calls the response.
        chunk_kind: What it calls a chunk of it.
        prefix: What its ids begin with.
    """

    kind: ClassVar[str]
    chunk_kind: ClassVar[str]
    prefix: ClassVar[str]

    def __init__(
        self, model: TunedModel, name: str, request: CompletionRequest, echoes: Sequence[str]
    ) -> None:
        """Gives the response its id and time.

        Args:
            model: Knows the tokens' texts.
            name: What clients call the model.
            request: What was asked.
            echoes: What the answers to each prompt begin with.
        """
        self._model = model
        self._request = request
        self._echoes = echoes
        self._head = {
            "id": f"{self.prefix}{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": name,
        }

    def whole(self, answers: Sequence[Sequence[Answer]], prompt_tokens: int) -> dict[str, Any]:
        """Writes a whole response.

        Args:
            answers: The answers to each prompt.
            prompt_tokens: Tokens of all prompts.

        Returns:
            The body.
        """
        choices = [
            self._choice(self._echoes[number], answer)
            for number, candidates in enumerate(answers)
            for answer in candidates
        ]
        tokens = sum(answer.tokens for candidates in answers for answer in candidates)
        return {
            **self._head,
            "object": self.kind,
            "choices": [{"index": index, **choice} for index, choice in enumerate(choices)],
            "usage": _usage(prompt_tokens, tokens),
        }

    def chunks(self, piece: Piece, is_first: bool) -> Iterator[dict[str, Any]]:
        """Writes a piece of an answer.

        Args:
            piece: The piece.
            is_first: Whether it is the answer's first.

        Yields:
            Its chunks: one more before the first piece, and one behind the last.
        """
        echo = self._echoes[piece.index // self._request.count]
        if is_first and (opening := self._opening(echo)):
            yield self._chunk(piece, opening)
        if piece.text or piece.scored:
            choice = {**self._delta(piece.text), "logprobs": self._logprobs(echo, piece.scored)}
            yield self._chunk(piece, choice)
        if piece.answer:
            yield self._chunk(piece, self._ending(), _finish_reason(piece.answer))

    def counts(self, prompt_tokens: int, output_tokens: int) -> dict[str, Any]:
        """Writes the chunk that ends a stream with its counts.

        Args:
            prompt_tokens: Tokens of all prompts.
            output_tokens: Tokens of all answers.

        Returns:
            The chunk.
        """
        counted = _usage(prompt_tokens, output_tokens)
        return {**self._head, "object": self.chunk_kind, "choices": [], "usage": counted}

    def _chunk(
        self, piece: Piece, choice: dict[str, Any], reason: str | None = None
    ) -> dict[str, Any]:
        choice = {"index": piece.index, "logprobs": None, "finish_reason": reason, **choice}
        chunk = {**self._head, "object": self.chunk_kind, "choices": [choice]}
        # OpenAI announces the counts that way.
        return {**chunk, "usage": None} if self._request.with_usage else chunk

    def _choice(self, echo: str, answer: Answer) -> dict[str, Any]:
        return {
            **self._content(echo, answer),
            "logprobs": self._logprobs(echo, answer.scored),
            "finish_reason": _finish_reason(answer),
        }

    def _logprobs(self, echo: str, scored: Sequence[ScoredToken]) -> dict[str, Any] | None:
        return None if self._request.sampling.logprobs is None else self._logprobs_of(echo, scored)

    @abstractmethod
    def _content(self, echo: str, answer: Answer) -> dict[str, Any]:
        """Writes what a whole choice holds."""

    @abstractmethod
    def _opening(self, echo: str) -> dict[str, Any]:
        """Writes what stands before the first piece; may be empty."""

    @abstractmethod
    def _delta(self, text: str) -> dict[str, Any]:
        """Writes what holds a piece."""

    @abstractmethod
    def _ending(self) -> dict[str, Any]:
        """Writes what stands behind the last piece."""

    @abstractmethod
    def _logprobs_of(self, echo: str, scored: Sequence[ScoredToken]) -> dict[str, Any]:
        """Writes log-probabilities."""


class ChatWriter(CompletionWriter):
    """Writes what /v1/chat/completions answers."""

    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"
    prefix = "chatcmpl-"

    def _content(self, echo: str, answer: Answer) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": answer.text, "refusal": None}}

    def _opening(self, echo: str) -> dict[str, Any]:
        return {"delta": {"role": "assistant", "content": ""}}

    def _delta(self, text: str) -> dict[str, Any]:
        return {"delta": {"content": text}}

    def _ending(self) -> dict[str, Any]:
        return {"delta": {}}

    def _logprobs_of(self, echo: str, scored: Sequence[ScoredToken]) -> dict[str, Any]:
        return chat_logprobs(self._model, scored)


class TextWriter(CompletionWriter):
    """Writes what /v1/completions answers."""

    kind = "text_completion"
    chunk_kind = "text_completion"
    prefix = "cmpl-"

    def _content(self, echo: str, answer: Answer) -> dict[str, Any]:
        return {"text": echo + answer.text}

    def _opening(self, echo: str) -> dict[str, Any]:
        return self._delta(echo) if echo else {}

    def _delta(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def _ending(self) -> dict[str, Any]:
        return self._delta("")

    def _logprobs_of(self, echo: str, scored: Sequence[ScoredToken]) -> dict[str, Any]:
        return completion_logprobs(self._model, scored, len(echo))


def _finish_reason(answer: Answer) -> str:
    """Says why an answer ended: by the model or a stop text, or by the limit."""
    return "stop" if answer.finished else "length"


def _usage(prompt_tokens: int, output_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": prompt_tokens + output_tokens,
    }
