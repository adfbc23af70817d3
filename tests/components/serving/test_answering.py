"""What crosses from the engine's thread, and what becomes of answers nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request

from kfp_llm_tuning.components.generation.engine import Sampling
from kfp_llm_tuning.components.serving import answering
from kfp_llm_tuning.components.serving.admission import Admission, State
from kfp_llm_tuning.components.serving.answer import Answer, AnswerRequest
from kfp_llm_tuning.components.serving.metrics import Metrics
from kfp_llm_tuning.components.serving.prompting import Prompt
from kfp_llm_tuning.components.serving.refusals import Refusal
from kfp_llm_tuning.components.serving.service import Service
from kfp_llm_tuning.components.serving.settings import ServerSettings
from tests.components.serving.scripted_engine import Line, ScriptedEngine, scripted_model


class Route:
    path = "/predict"


class AnswerClient:
    """Asks the service, and leaves when ``left`` is set."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        admission = Admission(8)
        admission.state = State.OK
        model = scripted_model(folder)
        self.service = Service(
            ServerSettings(**settings), admission, Metrics("x", admission), "x", model
        )
        assert isinstance(model.engine, ScriptedEngine)
        self.engine = model.engine
        self.left = asyncio.Event()

    def request(self) -> Request:
        async def receive() -> dict[str, Any]:
            await self.left.wait()
            return {"type": "http.disconnect"}

        return Request({"type": "http", "headers": [], "route": Route()}, receive)

    def wanted(self, text: str, stops: tuple[str, ...] = (), **sampling: Any) -> AnswerRequest:
        prompt = Prompt(self.engine.tokens(text), [2])
        return AnswerRequest(prompt, 100, Sampling(**sampling), stops)

    async def answers(self, *wanted: AnswerRequest, count: int = 1) -> list[list[Answer]]:
        return await answering.answers(self.service, self.request(), wanted, count)


@pytest.fixture
def client(tmp_path: Path) -> AnswerClient:
    return AnswerClient(tmp_path)


def crossings(client: AnswerClient, check: Callable[[], Awaitable[Any]]) -> int:
    """Counts what other threads hand to the event loop."""
    count = 0

    async def counted() -> None:
        nonlocal count
        loop = asyncio.get_running_loop()
        hand_over = loop.call_soon_threadsafe

        def count_and_hand_over(*arguments: Any, **context: Any) -> Any:
            nonlocal count
            count += 1
            return hand_over(*arguments, **context)

        loop.call_soon_threadsafe = count_and_hand_over  # type: ignore[method-assign]
        await check()

    asyncio.run(counted())
    return count


@pytest.mark.parametrize("stops", [(), ("never",)])
def test_an_answer_crosses_over_once(client: AnswerClient, stops: tuple[str, ...]) -> None:
    client.engine.says("a long answer " * 7)
    count = crossings(client, lambda: client.answers(client.wanted("x", stops), count=3))
    assert count == 3


def test_answers_are_submitted_together(client: AnswerClient) -> None:
    all_there = threading.Event()

    def script(request: Any) -> Line:
        if len(client.engine.requests) == 6:
            all_there.set()
        return Line(client.engine.tokens("ab"), wait=all_there)

    client.engine.script = script
    found = asyncio.run(client.answers(client.wanted("x"), client.wanted("y"), count=3))
    assert [[answer.text for answer in candidates] for candidates in found] == [["ab"] * 3] * 2
    assert client.engine.prompts() == ["x"] * 3 + ["y"] * 3


@pytest.mark.parametrize("streamed", [True, False])
def test_an_end_that_is_mere_text_ends_the_answer(client: AnswerClient, streamed: bool) -> None:
    assert client.service.model is not None
    client.service.model.stop_text = "<|im_end|>"
    client.engine.says("billing<|im_end|>\nuser:")

    async def read() -> list[answering.Piece]:
        wanted = [client.wanted("x", ("other",))]
        request = client.request()
        pieces = answering.pieces(client.service, request, wanted, 1, streamed=streamed)
        return [piece async for piece in pieces]

    *_, last = pieces = asyncio.run(read())
    assert last.answer is not None
    assert (last.answer.text, last.answer.finished) == ("billing", True)
    assert not streamed or "".join(piece.text for piece in pieces) == "billing"


def test_an_answer_of_no_tokens(client: AnswerClient) -> None:
    client.engine.says("")
    [[answer]] = asyncio.run(client.answers(client.wanted("x", ("a",), logprobs=1)))
    assert (answer.text, answer.tokens, answer.finished, answer.scored) == ("", 0, True, ())


def test_an_answer_that_the_limit_cut(client: AnswerClient) -> None:
    client.engine.says("é" * 60)
    [[answer]] = asyncio.run(client.answers(client.wanted("x")))
    assert (answer.text, answer.tokens, answer.finished) == ("é" * 50, 100, False)


def test_the_first_error_ends_all(client: AnswerClient) -> None:
    unending = threading.Event()

    def script(request: Any) -> Line:
        if len(client.engine.requests) == 2:
            return Line((), error=ZeroDivisionError("secret"))
        return Line(client.engine.tokens("ab"), wait=unending)

    client.engine.script = script
    with pytest.raises(ZeroDivisionError):
        asyncio.run(client.answers(client.wanted("x"), count=3))
    assert [ticket.cancelled.is_set() for ticket in client.engine.tickets] == [True] * 3
    assert client.service.admission.under_way == 0
    unending.set()


def test_an_engine_that_ends_meanwhile_is_no_fault_of_the_request(client: AnswerClient) -> None:
    def script(request: Any) -> Line:
        client.engine.alive = False
        return Line((), error=RuntimeError("The engine was closed."))

    client.engine.script = script
    with pytest.raises(Refusal) as caught:
        asyncio.run(client.answers(client.wanted("x")))
    assert caught.value.status == 503


def test_whoever_leaves_is_not_written_for(client: AnswerClient) -> None:
    unending = threading.Event()
    client.engine.says("ab", wait=unending)

    async def leave() -> None:
        task = asyncio.create_task(client.answers(client.wanted("x"), count=2))
        await asyncio.sleep(0.01)
        assert client.service.admission.under_way == 2
        client.left.set()
        await task

    with pytest.raises(Refusal) as caught:
        asyncio.run(leave())
    assert caught.value.status == 499
    assert all(ticket.cancelled.is_set() for ticket in client.engine.tickets)
    unending.set()


def test_a_cancelled_task_cancels_its_answers(client: AnswerClient) -> None:
    unending = threading.Event()
    client.engine.says("ab", wait=unending)

    async def cancel() -> None:
        task = asyncio.create_task(client.answers(client.wanted("x")))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert client.engine.tickets[0].cancelled.is_set()
    unending.set()


def test_a_stream_that_is_closed_cancels_its_answer(client: AnswerClient) -> None:
    unending = threading.Event()
    client.engine.says("ab", wait=unending)

    async def close() -> None:
        written = answering.pieces(client.service, client.request(), [client.wanted("x")], 1)
        piece = await anext(written)
        assert (piece.text, piece.answer) == ("a", None)
        await written.aclose()
        assert client.service.admission.under_way == 0

    asyncio.run(close())
    assert client.engine.tickets[0].cancelled.is_set()
    unending.set()


def test_seeds_of_candidates_follow_one_another(client: AnswerClient) -> None:
    client.engine.says("")
    asyncio.run(client.answers(client.wanted("x", seed=-1), count=3))
    seeds = [request.sampling.seed for request in client.engine.requests]
    assert seeds == [2**63 - 1, 0, 1]
