"""HTML reports: one file each, no network, readable on a desktop and on a phone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from kfp_llm_tuning.components.common.errors import error_sentence

_COMPONENTS = Path(__file__).parents[1]
# From here on fractions are written with an exponent: an untuned model's perplexity, for instance.
_UNREADABLE = 1e9
_NO_REPORT = """<!doctype html><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>
<p>This report could not be written, which has no bearing on the run: {reason}</p>
"""

_logger = logging.getLogger(__name__)


def _number(value: float | int | None, digits: int = 4) -> str:
    """Writes a number for people: thousands separated, no needless digits, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, int) or (value.is_integer() and 10 <= abs(value) < _UNREADABLE):
        return f"{int(value):,}"
    if abs(value) < 1000 or abs(value) >= _UNREADABLE:
        return f"{value:,.{digits}g}"
    return f"{value:,.0f}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader([_COMPONENTS, _COMPONENTS / "common"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["svg"] = Markup
    environment.filters["json"] = Markup
    return environment


def written(title: str, write: Callable[[], str]) -> str:
    """Writes a report; where that fails, a page that says so: no work is lost for want of a page.

    Args:
        title: The page's title.
        write: Gives the document.

    Returns:
        A complete HTML document.
    """
    try:
        return write()
    except Exception as error:
        _logger.exception("The report could not be written.")
        return _NO_REPORT.format(title=escape(title), reason=escape(error_sentence(error)))


def render(template: str, title: str, **context: Any) -> str:
    """Renders a component's report.

    Every value is escaped, since reports show rows of other people's data; only charts, which
    come from this package, pass through the filter ``svg`` unescaped, and JSON without ``<``, ``>``
    and ``&`` through the filter ``json``.

    Args:
        template: The template's path below ``components/``; it extends ``base.html.j2``.
        title: The page's title and heading.
        **context: What the template names.

    Returns:
        A complete HTML document.
    """
    written_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    page = _environment().get_template(template)
    return page.render(title=title, written_at=written_at, **context)
