"""Lists of Kubeflow Pipelines: pages, filters, and things of a name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

_PAGE_SIZE = 100
# What the lists of each kind are called in answers.
_ITEMS = ("runs", "recurring_runs", "experiments", "pipelines", "pipeline_versions")

# Asks for a page of a list, with the keywords filter, sort_by, page_size and page_token.
Ask = Callable[..., Any]


def predicate(key: str, value: str, operation: str = "EQUALS") -> dict[str, str]:
    """Writes one condition of a filter; all of a filter's must hold."""
    return {"operation": operation, "key": key, "string_value": value}


def filter_of(*predicates: Mapping[str, str]) -> str:
    """Writes a filter; empty without conditions."""
    # The server decodes it once more than HTTP asks for.
    return quote(json.dumps({"predicates": predicates})) if predicates else ""


def list_all(
    ask: Ask, *predicates: Mapping[str, str], sort_by: str = "created_at desc"
) -> Iterator[Any]:
    """Lists everything that meets conditions.

    Args:
        ask: Asks for a page.
        predicates: From ``predicate``.
        sort_by: The order.

    Yields:
        The things.
    """
    chosen = filter_of(*predicates)
    token = ""
    while True:
        page = ask(filter=chosen, sort_by=sort_by, page_size=_PAGE_SIZE, page_token=token)
        for name in _ITEMS:
            yield from getattr(page, name, None) or []
        token = page.next_page_token or ""
        if not token:
            return


def named(ask: Ask, name: str) -> Any | None:
    """Finds the thing of a name, the oldest where there are several.

    Args:
        ask: Asks for a page.
        name: Its name.

    Returns:
        The thing; None where there is none.
    """
    # The database compares without regard to case.
    found = list_all(ask, predicate("display_name", name), sort_by="created_at")
    return next((one for one in found if one.display_name == name), None)
