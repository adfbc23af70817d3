"""What is wanted of the model, what it writes, and the pieces in which that comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.engine import Sampling, TokenLogprobs
    from kfp_llm_tuning.components.serving.prompting import Prompt


@dataclass(frozen=True)
class AnswerRequest:
    """An answer to be written, or several to the same prompt.

    Attributes:
        prompt: What the model reads.
        limit: Most tokens of the answer.
        sampling: How tokens are chosen; with a seed, each of several answers has one of its own.
        stops: Texts before which the answer ends.
    """

    prompt: Prompt
    limit: int
    sampling: Sampling
    stops: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoredToken:
    """A token of an answer, where log-probabilities were asked for.

    Attributes:
        token: Its id.
        start: Where in the answer's text it begins.
        logprobs: How likely the model found it.
    """

    token: int
    start: int
    logprobs: TokenLogprobs


@dataclass(frozen=True)
class Answer:
    """What the model wrote.

    Attributes:
        text: The text, up to a stop text.
        tokens: Number of tokens that were written for it.
        finished: Whether the answer is whole; False where the limit cut it.
        scored: The text's tokens, where log-probabilities were asked for.
        first_token: When the first token came, by `time.monotonic`.
    """

    text: str
    tokens: int
    finished: bool
    scored: tuple[ScoredToken, ...]
    first_token: float


@dataclass(frozen=True)
class Piece:
    """A part of an answer.

    Attributes:
        index: Which of the answers that are wanted.
        text: What is new.
        scored: The new tokens, where log-probabilities were asked for.
        answer: The whole answer; with its last piece only.
    """

    index: int
    text: str
    scored: tuple[ScoredToken, ...] = ()
    answer: Answer | None = None
