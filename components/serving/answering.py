"""Answers that the engine writes beside one another, waited for without a thread of their own.

The engine tells of tokens in its own thread. Only what somebody waits for crosses over to the event
loop: every piece of a streamed answer, and else the whole answer, once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import Request

from kfp_llm_tuning.components.generation.engine import GenerationRequest
from kfp_llm_tuning.components.serving.answer import Answer, AnswerRequest, Piece
from kfp_llm_tuning.components.serving.answer_listener import AnswerListener
from kfp_llm_tuning.components.serving.incremental_detokenizer import IncrementalDetokenizer
from kfp_llm_tuning.components.serving.refusals import CLIENT_LEFT, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kfp_llm_tuning.components.generation.engine import Ticket
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.service import Service

    _Chunks = asyncio.Queue[Piece | Exception]

# Seeds of an answer's candidates follow one another, within what every engine takes for a seed.
_SEEDS = 2**63
# After so long it is worth to ask again whether the model is loaded.
_LOADING_SECONDS = 5


async def answers(
    service: Service, request: Request, answer_requests: Sequence[AnswerRequest], count: int
) -> list[list[Answer]]:
    """Has answers written, and waits for all of them.

    Args:
        service: Its model is loaded.
        request: Who asks: an answer that nobody waits for any more is not written to its end.
        answer_requests: What to write; the engine works on all at once.
        count: Answers to each.

    Returns:
        The answers to each.

    Raises:
        Refusal: If there is no room, or no time, or the client left.
    """
    written: dict[int, Answer] = {}
    async for piece in pieces(service, request, answer_requests, count, streamed=False):
        if piece.answer:
            written[piece.index] = piece.answer
    return [
        [written[start + candidate] for candidate in range(count)]
        for start in range(0, len(answer_requests) * count, count)
    ]


async def pieces(
    service: Service,
    request: Request,
    answer_requests: Sequence[AnswerRequest],
    count: int,
    *,
    streamed: bool = True,
) -> AsyncGenerator[Piece, None]:
    """Has answers written, and gives them piece by piece.

    Args:
        service: As of `answers`.
        request: As of `answers`.
        answer_requests: As of `answers`.
        count: As of `answers`. Pieces are numbered through: all answers to the first come first.
        streamed: Whether to give pieces as they come; else each answer is one piece.

    Yields:
        The pieces of all answers, as they come.

    Raises:
        Refusal: As of `answers`.
    """
    single = [one for each in answer_requests for one in _candidates(each, count)]
    facts = _Facts(service, request, answer_requests)
    async with service.admission.admitted(len(single)):
        begun = time.monotonic()
        chunks: _Chunks = asyncio.Queue()
        with (
            _interruptions(service, request, chunks),
            _submitted(loaded_model(service), single, chunks, streamed) as tickets,
        ):
            waiting = len(single)
            while waiting:
                piece = await chunks.get()
                if isinstance(piece, Exception):
                    raise piece
                if piece.answer:
                    waiting -= 1
                    tickets[piece.index].cancel()
                    facts.add(piece.answer)
                yield piece
    facts.close(begun)


def loaded_model(service: Service) -> TunedModel:
    """Gives the model.

    Args:
        service: What may have it.

    Returns:
        The model.

    Raises:
        Refusal: If it is being loaded still.
    """
    if service.model is None:
        raise Refusal(503, "The model is being loaded.", retry_after=_LOADING_SECONDS)
    return service.model


def reading_seconds(service: Service) -> float:
    """Says how long a client may take to read a stream.

    Args:
        service: What answers it.

    Returns:
        As long as the model may take to write it, once more: a client that does not read keeps its
        place in the queue.
    """
    return 2 * service.settings.request_timeout_seconds


@contextmanager
def _submitted(
    model: TunedModel, answer_requests: Sequence[AnswerRequest], chunks: _Chunks, streamed: bool
) -> Iterator[list[Ticket]]:
    """Has the engine write answers for as long as the block runs."""
    loop = asyncio.get_running_loop()
    engine = model.engine

    def tell(what: Piece | Exception) -> None:
        loop.call_soon_threadsafe(chunks.put_nowait, what)

    tickets: list[Ticket] = []
    try:
        for index, one in enumerate(answer_requests):
            listener = _listener(model, index, one, tell, streamed)
            tickets.append(engine.submit(_generation_request(one), listener))
        yield tickets
    except Exception as error:
        if engine.alive or isinstance(error, Refusal):
            raise
        raise Refusal(503, "The model does not answer any more.", retry_after=1) from error
    finally:
        for ticket in tickets:
            ticket.cancel()


@contextmanager
def _interruptions(service: Service, request: Request, chunks: _Chunks) -> Iterator[None]:
    """Lets those who wait hear when time is up, or when there is nobody to answer to."""
    seconds = service.settings.request_timeout_seconds
    late = Refusal(504, f"The answer was not written within {seconds:g} s.")
    timer = asyncio.get_running_loop().call_later(seconds, chunks.put_nowait, late)
    watcher = asyncio.create_task(_tell_when_left(request, chunks))
    try:
        yield
    finally:
        timer.cancel()
        watcher.cancel()


async def _tell_when_left(request: Request, chunks: _Chunks) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    chunks.put_nowait(Refusal(CLIENT_LEFT, "The client left before it was answered."))


def _listener(
    model: TunedModel,
    index: int,
    answer_request: AnswerRequest,
    tell: Callable[[Piece | Exception], None],
    streamed: bool,
) -> AnswerListener:
    def decode(tokens: Sequence[int]) -> str:
        return model.decode([tokens])[0]

    detokenizer = None
    stops = (*answer_request.stops, model.stop_text) if model.stop_text else answer_request.stops
    if streamed or stops or answer_request.sampling.logprobs is not None:
        detokenizer = IncrementalDetokenizer(decode, model.byte_tokens, stops)
    return AnswerListener(index, tell, decode, detokenizer, streamed)


def _generation_request(answer_request: AnswerRequest) -> GenerationRequest:
    prompt = answer_request.prompt
    return GenerationRequest(
        prompt.ids, answer_request.limit, prompt.stop_tokens, answer_request.sampling
    )


def _candidates(answer_request: AnswerRequest, count: int) -> list[AnswerRequest]:
    seed = answer_request.sampling.seed
    if seed is None:
        return [answer_request] * count
    samplings = (replace(answer_request.sampling, seed=(seed + i) % _SEEDS) for i in range(count))
    return [replace(answer_request, sampling=sampling) for sampling in samplings]


class _Facts:
    """What is counted and logged of one request."""

    def __init__(
        self, service: Service, request: Request, answer_requests: Sequence[AnswerRequest]
    ) -> None:
        self._service = service
        self._request = request
        self._answer_requests = answer_requests
        self._answers: list[Answer] = []
        self._facts: dict[str, Any] = {
            "instances": len(answer_requests),
            "prompt_tokens": sum(len(one.prompt.ids) for one in answer_requests),
            "output_tokens": 0,
        }
        if service.settings.log_prompts:
            engine = loaded_model(service).engine
            self._facts["prompts"] = engine.decode([one.prompt.ids for one in answer_requests])
            self._facts["answers"] = []
        request.state.facts = self._facts

    def add(self, answer: Answer) -> None:
        self._answers.append(answer)
        self._facts["output_tokens"] += answer.tokens
        if self._service.settings.log_prompts:
            self._facts["answers"].append(answer.text)

    def close(self, begun: float) -> None:
        metrics = self._service.metrics
        metrics.first_token(min(answer.first_token for answer in self._answers) - begun)
        route = self._request.scope["route"].path
        metrics.answered(route, self._facts["prompt_tokens"], self._facts["output_tokens"])
