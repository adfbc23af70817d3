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
from kfp_llm_tuning.components.serving.answer import Answer, Wanted
from kfp_llm_tuning.components.serving.metrics import Metrics
from kfp_llm_tuning.components.serving.prompting import Prompt
from kfp_llm_tuning.components.serving.refusals import Refusal
from kfp_llm_tuning.components.serving.service import Service
from kfp_llm_tuning.components.serving.settings import ServerSettings
from tests.components.serving.scripted_engine import Line, ScriptedEngine, scripted_model


class Route:
    path = "/predict"


class Asker:
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

    def wanted(self, text: str, stops: tuple[str, ...] = (), **sampling: Any) -> Wanted:
        prompt = Prompt(self.engine.tokens(text), [2])
        return Wanted(prompt, 100, Sampling(**sampling), stops)

    async def answers(self, *wanted: Wanted, count: int = 1) -> list[list[Answer]]:
        return await answering.answers(self.service, self.request(), wanted, count)


@pytest.fixture
def asker(tmp_path: Path) -> Asker:
    return Asker(tmp_path)


def crossings(asker: Asker, check: Callable[[], Awaitable[Any]]) -> int:
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
def test_an_answer_crosses_over_once(asker: Asker, stops: tuple[str, ...]) -> None:
    asker.engine.says("a long answer " * 7)
    count = crossings(asker, lambda: asker.answers(asker.wanted("x", stops), count=3))
    assert count == 3


def test_answers_are_submitted_together(asker: Asker) -> None:
    all_there = threading.Event()

    def script(request: Any) -> Line:
        if len(asker.engine.requests) == 6:
            all_there.set()
        return Line(asker.engine.tokens("ab"), wait=all_there)

    asker.engine.script = script
    found = asyncio.run(asker.answers(asker.wanted("x"), asker.wanted("y"), count=3))
    assert [[answer.text for answer in candidates] for candidates in found] == [["ab"] * 3] * 2
    assert asker.engine.prompts() == ["x"] * 3 + ["y"] * 3


@pytest.mark.parametrize("streamed", [True, False])
def test_an_end_that_is_mere_text_ends_the_answer(asker: Asker, streamed: bool) -> None:
    assert asker.service.model is not None
    asker.service.model.stop_text = "<|im_end|>"
    asker.engine.says("billing<|im_end|>\nuser:")

    async def read() -> list[answering.Piece]:
        wanted = [asker.wanted("x", ("other",))]
        request = asker.request()
        pieces = answering.pieces(asker.service, request, wanted, 1, streamed=streamed)
        return [piece async for piece in pieces]

    *_, last = pieces = asyncio.run(read())
    assert last.answer is not None
    assert (last.answer.text, last.answer.finished) == ("billing", True)
    assert not streamed or "".join(piece.text for piece in pieces) == "billing"


def test_an_answer_of_no_tokens(asker: Asker) -> None:
    asker.engine.says("")
    [[answer]] = asyncio.run(asker.answers(asker.wanted("x", ("a",), logprobs=1)))
    assert (answer.text, answer.tokens, answer.finished, answer.scored) == ("", 0, True, ())


def test_an_answer_that_the_limit_cut(asker: Asker) -> None:
    asker.engine.says("é" * 60)
    [[answer]] = asyncio.run(asker.answers(asker.wanted("x")))
    assert (answer.text, answer.tokens, answer.finished) == ("é" * 50, 100, False)


def test_the_first_error_ends_all(asker: Asker) -> None:
    unending = threading.Event()

    def script(request: Any) -> Line:
        if len(asker.engine.requests) == 2:
            return Line((), error=ZeroDivisionError("secret"))
        return Line(asker.engine.tokens("ab"), wait=unending)

    asker.engine.script = script
    with pytest.raises(ZeroDivisionError):
        asyncio.run(asker.answers(asker.wanted("x"), count=3))
    assert [ticket.cancelled.is_set() for ticket in asker.engine.tickets] == [True] * 3
    assert asker.service.admission.under_way == 0
    unending.set()


def test_an_engine_that_ends_meanwhile_is_no_fault_of_the_request(asker: Asker) -> None:
    def script(request: Any) -> Line:
        asker.engine.alive = False
        return Line((), error=RuntimeError("The engine was closed."))

    asker.engine.script = script
    with pytest.raises(Refusal) as caught:
        asyncio.run(asker.answers(asker.wanted("x")))
    assert caught.value.status == 503


def test_whoever_leaves_is_not_written_for(asker: Asker) -> None:
    unending = threading.Event()
    asker.engine.says("ab", wait=unending)

    async def leave() -> None:
        task = asyncio.create_task(asker.answers(asker.wanted("x"), count=2))
        await asyncio.sleep(0.01)
        assert asker.service.admission.under_way == 2
        asker.left.set()
        await task

    with pytest.raises(Refusal) as caught:
        asyncio.run(leave())
    assert caught.value.status == 499
    assert all(ticket.cancelled.is_set() for ticket in asker.engine.tickets)
    unending.set()


def test_a_cancelled_task_cancels_its_answers(asker: Asker) -> None:
    unending = threading.Event()
    asker.engine.says("ab", wait=unending)

    async def cancel() -> None:
        task = asyncio.create_task(asker.answers(asker.wanted("x")))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert asker.engine.tickets[0].cancelled.is_set()
    unending.set()


def test_a_stream_that_is_closed_cancels_its_answer(asker: Asker) -> None:
    unending = threading.Event()
    asker.engine.says("ab", wait=unending)

    async def close() -> None:
        written = answering.pieces(asker.service, asker.request(), [asker.wanted("x")], 1)
        piece = await anext(written)
        assert (piece.text, piece.answer) == ("a", None)
        await written.aclose()
        assert asker.service.admission.under_way == 0

    asyncio.run(close())
    assert asker.engine.tickets[0].cancelled.is_set()
    unending.set()


def test_seeds_of_candidates_follow_one_another(asker: Asker) -> None:
    asker.engine.says("")
    asyncio.run(asker.answers(asker.wanted("x", seed=-1), count=3))
    seeds = [request.sampling.seed for request in asker.engine.requests]
    assert seeds == [2**63 - 1, 0, 1]
