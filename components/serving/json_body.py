"""Bodies of requests: one JSON object, read strictly, whatever their content type claims.

A large body is read in a thread of its own, so that other requests, health probes above all, are
answered meanwhile. There is one such thread: what large bodies take of memory is that of one.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from fastapi import Request

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.serving.refusals import MOST_PROBLEMS, Refusal, quoted

_Found = TypeVar("_Found")

# Bodies up to this many bytes are read faster than another thread would begin to.
_SMALL = 64 * 1024
_large_bodies = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-body")
# What is built of an object or a list takes up to a hundred times its bytes, and the parser of many
# keeps every thread waiting. No context has room for as many messages, nor a request for as many
# instances.
_MOST_OBJECTS = 100_000
_SURROGATE = re.compile("[\ud800-\udfff]")
# As much of a place as a message names.
_LONGEST_PLACE = 200
_MAY_BE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ALLOWED = "a JSON object in UTF-8"


async def read_object(request: Request) -> dict[str, Any]:
    """Reads a request's body.

    Args:
        request: Its content type is not looked at: many clients forget to say that it is JSON.

    Returns:
        The object.

    Raises:
        Refusal: If it is anything else, holds text that is no Unicode, or too many objects
            and lists.
    """
    body = await request.body()
    request.state.body_bytes = len(body)
    return await read_apart(request, _read, body)


async def read_apart(request: Request, read: Callable[..., _Found], *arguments: Any) -> _Found:
    """Calls what reads a request: here, or where its body is large in the thread for those.

    Args:
        request: The request, whose body has come in.
        read: What reads it.
        *arguments: Its arguments.

    Returns:
        What it returns.
    """
    if request.state.body_bytes <= _SMALL:
        return read(*arguments)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_large_bodies, read, *arguments)


def _read(body: bytes) -> dict[str, Any]:
    # Brackets of texts are counted too: a context has no room for so many of them either.
    if body.count(b"{") + body.count(b"[") > _MOST_OBJECTS:
        what = "The body holds too many objects and lists."
        raise Refusal(413, Problem(what, allowed=f"{_MOST_OBJECTS:,}"))
    value = _parse(body)
    if not isinstance(value, dict):
        raise _bad("The body is no JSON object.")
    if _MAY_BE_SURROGATE.search(body):
        _refuse_surrogates(value)
    return value


def _parse(body: bytes) -> Any:
    if not body.strip():
        raise _bad("The body is empty.")
    try:
        return json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_without_repetition,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise _bad(f"The body is not UTF-8 at byte {error.start}.") from error
    except RecursionError as error:
        raise _bad("The body is nested too deeply.") from error
    except ValueError as error:
        raise _bad(f"The body is not JSON: {error}.") from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        repeated = _first_repeated(name for name, _ in pairs)
        raise _bad(f"{quoted(repeated)} stands twice in one object.")
    return fields


def _first_repeated(names: Iterator[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("No name is repeated.")


def _refuse_constant(name: str) -> None:
    raise _bad(f"{name} is not JSON.")


def _refuse_surrogates(value: Any) -> None:
    halves = (text.owner for text in _texts(value) if _SURROGATE.search(text.value))
    problems = [
        Problem("half of a surrogate pair is no character.", owner.place, "whole characters")
        for owner in islice(halves, MOST_PROBLEMS)
    ]
    if problems:
        raise Refusal(400, *problems)


class _Node(NamedTuple):
    """A value with what it stands in; its place is written only where it is told."""

    value: Any
    parent: _Node | None = None
    key: str = ""

    @property
    def place(self) -> str:
        keys: list[str] = []
        node: _Node | None = self
        while node is not None:
            keys.append(node.key)
            node = node.parent
        place = "".join(reversed(keys)).removeprefix(".")
        return place if len(place) <= _LONGEST_PLACE else f"{place[:_LONGEST_PLACE]}..."


class _Text(NamedTuple):
    """A text and the value that it is, or that it names a field of."""

    value: str
    owner: _Node


def _texts(value: Any) -> Iterator[_Text]:
    """Finds all texts, names of fields included, with their places; without recursion."""
    waiting = [_Node(value)]
    while waiting:
        node = waiting.pop()
        if isinstance(node.value, str):
            yield _Text(node.value, node)
        elif isinstance(node.value, list):
            waiting += [_Node(item, node, f"[{i}]") for i, item in enumerate(node.value)]
        elif isinstance(node.value, dict):
            for name, item in node.value.items():
                yield _Text(name, node)
                waiting.append(_Node(item, node, f".{name[:_LONGEST_PLACE]}"))


def _bad(what: str) -> Refusal:
    return Refusal(400, Problem(what, allowed=_ALLOWED))
