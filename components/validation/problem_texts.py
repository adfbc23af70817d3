"""Sentences that several checks of pipeline parameters say."""

from __future__ import annotations

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.wording import did_you_mean, short
from kfp_llm_tuning.components.validation.resource_names import ResourceForm


def unknown(where: str, value: str, allowed: tuple[str, ...]) -> Problem:
    """Says that a value is none of those allowed, and which of them is nearest."""
    names = [name for name in allowed if name]
    what = f"{short(value)} is unknown."
    return Problem(what, where, ", ".join(names), did_you_mean(value, names))


def wrong_form(value: str, where: str, form: ResourceForm) -> Problem:
    """Says that a name has not the form of its kind."""
    return Problem(f"{short(value)} has another form.", where, form.template)
