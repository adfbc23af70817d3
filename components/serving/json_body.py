"""Bodies of requests: one JSON object, read strictly, whatever their content type claims."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from fastapi import Request

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.serving.refusals import Refusal, quoted

_MAY_BE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ALLOWED = "a JSON object in UTF-8"


async def read_object(request: Request) -> dict[str, Any]:
    """Reads a request's body.

    Args:
        request: Its content type is not looked at: many clients forget to say that it is JSON.

    Returns:
        The object.

    Raises:
        Refusal: If it is anything else, or holds text that is no Unicode.
    """
    body = await request.body()
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
        names = [name for name, _ in pairs]
        repeated = next(name for name in fields if names.count(name) > 1)
        raise _bad(f"{quoted(repeated)} stands twice in one object.")
    return fields


def _refuse_constant(name: str) -> None:
    raise _bad(f"{name} is not JSON.")


def _refuse_surrogates(value: Any) -> None:
    problems = [
        Problem("half of a surrogate pair is no character.", place, "whole characters")
        for place, text in _texts(value)
        if not _is_unicode(text)
    ]
    if problems:
        raise Refusal(400, *problems)


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Finds all texts, names of fields included, with their places; without recursion."""
    waiting = [("", value)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str):
            yield place, value
        elif isinstance(value, list):
            waiting += [(f"{place}[{index}]", item) for index, item in enumerate(value)]
        elif isinstance(value, dict):
            for name, item in value.items():
                yield place, name
                waiting.append((f"{place}.{name}" if place else name, item))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _bad(what: str) -> Refusal:
    return Refusal(400, Problem(what, allowed=_ALLOWED))
