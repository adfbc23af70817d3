"""Sentences that several checks of pipeline parameters say."""

from __future__ import annotations

from difflib import get_close_matches

from kfp_llm_tuning.components.common.credentials import hide_credentials
from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.validation.resource_names import ResourceForm


def unknown(where: str, value: str, allowed: tuple[str, ...]) -> Problem:
    """Says that a value is none of those allowed, and which of them is nearest."""
    nearest = get_close_matches(value, [name for name in allowed if name], n=1)
    return Problem(
        f"{short(value)} is unknown.",
        where,
        ", ".join(name for name in allowed if name),
        f"Did you mean {nearest[0]}?" if nearest else "",
    )


def wrong_form(value: str, where: str, form: ResourceForm) -> Problem:
    """Says that a name has not the form of its kind."""
    return Problem(f"{short(value)} has another form.", where, form.template)


def short(value: str) -> str:
    """Quotes a value for a message, its end left out where it is long."""
    value = hide_credentials(value)  # Before a password that is cut in two is none any more.
    return repr(value if len(value) <= 80 else value[:77] + "...")
