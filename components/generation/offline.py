"""Answers to many requests that are all there from the start."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from kfp_llm_tuning.components.generation.batches import Progress
from kfp_llm_tuning.components.generation.decoding import Decoder, Row
from kfp_llm_tuning.components.generation.engine import (
    Generation,
    GenerationRequest,
    TokenLogprobs,
)


class _Collector:
    """Puts one request's generation together."""

    def __init__(self, progress: Progress, errors: list[Exception]) -> None:
        self.tokens: list[int] = []
        self.logprobs: list[TokenLogprobs] = []
        self.finished = False
        self._progress = progress
        self._errors = errors

    def on_token(self, token: int, logprobs: TokenLogprobs | None) -> None:
        self.tokens.append(token)
        if logprobs is not None:
            self.logprobs.append(logprobs)

    def on_end(self, finished: bool) -> None:
        self.finished = finished
        self._progress.add(1)

    def on_error(self, error: Exception) -> None:
        self._errors.append(error)

    def generation(self) -> Generation:
        return Generation(self.tokens, self.finished, tuple(self.logprobs))


def generate_all(decoder: Decoder, requests: Sequence[GenerationRequest]) -> list[Generation]:
    """Answers requests, those that may become longest first: memory runs out early or never.

    Args:
        decoder: One that has nothing to do; used in the caller's thread.
        requests: What is asked; equal ones that must get the same answer are computed once.

    Returns:
        One generation a request, in their order.

    Raises:
        Exception: What the model or the machine raised for the first request that failed.
    """
    keys = [_key(request, number) for number, request in enumerate(requests)]
    distinct = dict(zip(keys, requests, strict=True))
    progress = Progress(len(distinct), "prompts answered")
    errors: list[Exception] = []
    collectors = {key: _Collector(progress, errors) for key in distinct}
    rows = [Row(request, collectors[key]) for key, request in distinct.items()]
    for row in sorted(rows, key=lambda row: -row.longest):
        decoder.add(row)
    while decoder.busy:
        decoder.step()
        if errors:
            raise errors[0]
    return [collectors[key].generation() for key in keys]


def _key(request: GenerationRequest, number: int) -> Hashable:
    sampling = request.sampling
    if sampling.temperature > 0 and sampling.seed is None:
        return number
    return tuple(request.prompt), request.max_new_tokens, tuple(request.stop_tokens), repr(sampling)
