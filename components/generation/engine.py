"""The small interface behind which models run: what is asked of one, and what it writes.

An engine works on token ids; `tuned_model.py` turns instances into them and answers into text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Tokens = Sequence[int]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: Divides the logits; 0 takes the likeliest token, after penalties and bias.
        top_p: The likeliest tokens whose probabilities sum to this are left to choose from.
        top_k: So many of the likeliest tokens are left to choose from; 0 leaves all.
        seed: Makes the choice repeatable; None chooses anew each time.
        presence_penalty: Taken off the logit of every token that the answer holds already.
        frequency_penalty: Taken off as often as the answer holds the token.
        logit_bias: Added to the logits, by token id.
        logprobs: Number of the likeliest tokens whose log-probabilities are told beside the chosen
            token's; 0 tells the chosen token's alone, None nothing. They are those of the model:
            before temperature, penalties and bias.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: int | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt to be continued.

    Attributes:
        prompt: Token ids, at least one.
        max_new_tokens: Most tokens written after it, at least one.
        stop_tokens: Tokens that end the answer.
        sampling: How tokens are chosen.
    """

    prompt: Tokens
    max_new_tokens: int
    stop_tokens: Tokens
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True)
class TokenLogprobs:
    """How likely the model found what was chosen.

    Attributes:
        chosen: Natural logarithm of the chosen token's probability.
        likeliest: The likeliest tokens with theirs, the likeliest first.
    """

    chosen: float
    likeliest: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Generation:
    """What a model wrote.

    Attributes:
        tokens: Token ids after the prompt, without the token that ended it.
        finished: Whether the model ended by itself; False where the limit cut it.
        logprobs: One for each of the tokens where they were asked for, else empty.
    """

    tokens: list[int]
    finished: bool
    logprobs: tuple[TokenLogprobs, ...] = ()


class Listener(Protocol):
    """Hears of one request's progress, in the engine's own thread: it must not take long."""

    def on_token(self, token: int, logprobs: TokenLogprobs | None) -> None:
        """Hears of the next token; not of the one that ends the answer."""

    def on_end(self, finished: bool) -> None:
        """Hears that the answer has ended; last call. ``finished`` as in `Generation`."""

    def on_error(self, error: Exception) -> None:
        """Hears that there will be no answer; last call."""


class Ticket(Protocol):
    """A request under way."""

    def cancel(self) -> None:
        """Ends the request as soon as can be: the listener hears nothing more. From any thread."""


class Engine(Protocol):
    """A causal language model in memory.

    Attributes:
        tokenizer: The model's tokenizer.
        device: Where it computes: "cpu" or "cuda".
        precision: For example "bfloat16".
        context_length: Most tokens that prompt and answer may have together.
    """

    tokenizer: Any
    device: str
    precision: str
    context_length: int

    @property
    def alive(self) -> bool:
        """Whether requests that are submitted will be answered: False once closed or broken."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Continues many prompts, as fast as can be; one generation a request, in their order.

        Raises:
            ValueError: If the model cannot answer a request: see `within_limits`.
        """

    def submit(self, request: GenerationRequest, listener: Listener) -> Ticket:
        """Continues one prompt beside all others that were submitted. From any thread.

        Raises:
            ValueError: If the model cannot answer the request: see `within_limits`.
            RuntimeError: If the engine is closed or broken.
        """

    def score(
        self, prompts: Sequence[Tokens], completions: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        """Computes the log-likelihood of each completion given its prompt; shape (prompts,)."""

    def score_choices(
        self, prompts: Sequence[Tokens], choices: Sequence[Tokens]
    ) -> NDArray[np.float64]:
        """Computes the log-likelihood of every choice given every prompt: (prompts, choices)."""

    def decode(self, texts: Sequence[Tokens], kept: Collection[int] = frozenset()) -> list[str]:
        """Turns token ids into text, special tokens but those to be kept left out."""

    def close(self) -> None:
        """Ends the engine's thread; requests under way hear of an error."""
