"""Checks a request's parameters before it is sent, as the pipeline's first task will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, collect, raise_all
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.requests.parameters import sort_out
from kfp_llm_tuning.pipelines.requests.request import Request

if TYPE_CHECKING:
    from kfp_llm_tuning.components.validation.pipeline_parameters import PipelineSettings


def checked_parameters(
    request: Request, place: Mapping[str, Any]
) -> tuple[dict[str, Any], PipelineSettings]:
    """Checks the parameters.

    Args:
        request: What to run, settled.
        place: What validate-pipeline is told of the platform, besides the root inputs.

    Returns:
        The parameters given, each in its own type, and what follows from them.

    Raises:
        UserError: With every problem found.
    """
    from kfp_llm_tuning.components.validation.pipeline_inputs import PipelineParameters
    from kfp_llm_tuning.components.validation.pipeline_parameters import (
        validate_pipeline_parameters,
    )

    parameters, unparsed = sort_out(request.values, TEMPLATES[request.template])
    problems = [*request.problems, *unparsed]
    defaults = {
        # A name that is missing or no text is told of already.
        "model_display_name": "-",
        "large_model_reference": TEMPLATES[request.template]["large_model_reference"].default,
    }
    checked = None
    found: list[Problem] = []
    with collect(found):
        checked = validate_pipeline_parameters(
            PipelineParameters(**{**defaults, **parameters}, template=request.template, **place)
        )
    problems += [problem for problem in _of_others(found, unparsed) if problem not in problems]
    raise_all(problems)
    assert checked is not None
    return parameters, checked


def _of_others(found: Sequence[Problem], unparsed: Sequence[Problem]) -> list[Problem]:
    """Leaves out what was found of a default that stood in for a value that is no value."""
    names = {problem.where for problem in unparsed}
    return [problem for problem in found if not names & set(problem.where.split(", "))]
