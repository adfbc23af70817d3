"""What it takes to read a request grows no faster than the request: counted, not timed.

The clock is the bytecodes that are executed. A few kilobytes are enough to see that a cost is
quadratic: four times the body then costs sixteen times as much.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from kfp_llm_tuning.components.generation.tuned_model import TunedModel
from kfp_llm_tuning.components.serving.json_body import _read
from kfp_llm_tuning.components.serving.openai_requests import read_chat, read_completion
from kfp_llm_tuning.components.serving.predict_requests import read_predict_request
from kfp_llm_tuning.components.serving.refusals import Refusal, refusal_response
from tests.components.serving.scripted_engine import scripted_model

Read = Callable[[dict[str, Any], TunedModel, int], object]
Body = Callable[[int], Any]
MANY = 1_000_000
# Bytecodes of a whole refusal, whatever was sent.
BOUNDED = 60_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TunedModel:
    return scripted_model(tmp_path_factory.mktemp("model"))


def operations(work: Callable[[], object]) -> int:
    """Counts the bytecodes of a piece of work."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def answer(read: Read, model: TunedModel, body: Any) -> None:
    """Reads a body as its route does, and writes the refusal."""
    try:
        read(_read(json.dumps(body).encode()), model, 16)
    except Refusal as refusal:
        assert len(refusal.problems) <= 20
        scope = {"type": "http", "path": "/v1" if read is not read_predict_request else "/predict"}
        assert len(refusal_response(refusal, scope).body) < 20_000


def turns(count: int, content: str, *names: str) -> list[dict[str, str]]:
    """Writes a conversation; the names are those of its two sides, and of who speaks."""
    who, *sides = names
    return [{who: sides[number % 2], "content": content} for number in range(count)]


LINEAR: dict[str, tuple[Read, Body]] = {
    "messages": (read_chat, lambda n: {"messages": turns(n, "a", "role", "user", "assistant")}),
    "messages of one side": (
        read_chat,
        lambda n: {"messages": turns(n, "a", "role", "user", "user")},
    ),
    "empty messages": (
        read_chat,
        lambda n: {"messages": turns(n, "", "role", "user", "assistant")},
    ),
    "instructions everywhere": (
        read_chat,
        lambda n: {"messages": turns(n, "a", "role", "user", "system")},
    ),
    "parts": (
        read_chat,
        lambda n: {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}] * n}]},
    ),
    "published messages": (
        read_predict_request,
        lambda n: {"instances": [{"messages": turns(n, "a", "author", "user", "bot")}]},
    ),
    "published messages, all empty": (
        read_predict_request,
        lambda n: {"instances": [{"messages": turns(n, "", "author", "bot", "user")}]},
    ),
    "examples": (
        read_predict_request,
        lambda n: {"instances": [{"messages": [], "examples": [{"input": {}}] * n}]},
    ),
    "fields of a message": (
        read_chat,
        lambda n: {"messages": [{f"role{i}": 1 for i in range(n)} for _ in range(3)]},
    ),
    "a bias": (
        read_completion,
        lambda n: {"prompt": "a", "logit_bias": {f"a{i}": i for i in range(n)}},
    ),
    "token ids": (read_completion, lambda n: {"prompt": [1] * n}),
    "halves of characters": (read_completion, lambda n: {"prompt": ["\ud800"] * n}),
    "nested lists": (read_completion, lambda n: {"prompt": [[[]]] * n}),
}


@pytest.mark.parametrize("kind", LINEAR)
def test_four_times_the_body_takes_four_times_the_work(model: TunedModel, kind: str) -> None:
    read, body = LINEAR[kind]
    small, large = (operations(lambda n=n: answer(read, model, body(n))) for n in (60, 240))
    assert large < 4.5 * small, (small, large)


REFUSED_AT_ONCE: dict[str, tuple[Read, Body]] = {
    "instances": (read_predict_request, lambda n: {"instances": [1] * n}),
    "messages": (read_chat, lambda n: {"messages": [1] * n}),
    "prompts": (read_completion, lambda n: {"prompt": ["a"] * n}),
    "stops": (read_completion, lambda n: {"prompt": "a", "stop": ["a"] * n}),
}


@pytest.mark.parametrize("kind", REFUSED_AT_ONCE)
def test_more_items_than_are_allowed_are_not_looked_at(model: TunedModel, kind: str) -> None:
    read, make = REFUSED_AT_ONCE[kind]
    body = make(MANY)
    with pytest.raises(Refusal):
        read(body, model, 16)

    def refused() -> None:
        with pytest.raises(Refusal):
            read(body, model, 16)

    assert operations(refused) < BOUNDED


@pytest.mark.parametrize("read", [read_predict_request, read_chat, read_completion])
def test_of_unknown_fields_only_the_first_are_looked_at(model: TunedModel, read: Read) -> None:
    def refused(body: dict[str, Any]) -> Callable[[], None]:
        def work() -> None:
            with pytest.raises(Refusal):
                read(body, model, 16)

        return work

    few, many = ({f"f{number}": 1 for number in range(count)} for count in (100, 100_000))
    assert operations(refused(many)) == pytest.approx(operations(refused(few)), rel=0.05)
