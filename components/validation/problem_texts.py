"""Sentences that several checks of pipeline parameters say."""

from __future__ import annotations

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.validation.resource_names import ResourceForm


def wrong_form(value: str, where: str, form: ResourceForm) -> Problem:
    """Says that a name has not the form of its kind."""
    return Problem(f"{short(value)} has another form.", where, form.template)
