"""Checks a request's parameters before it is sent, as the pipeline's first task will."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.pipelines.parameters import TEMPLATES
from kfp_llm_tuning.pipelines.requests import Request

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

    parameters = request.parameters()
    known = {field.name for field in dataclasses.fields(PipelineParameters)}
    inputs = {name: value for name, value in parameters.items() if name in known}
    # validate-pipeline calls it by its published short name.
    default = str(TEMPLATES[request.template]["large_model_reference"].default)
    checked = validate_pipeline_parameters(
        PipelineParameters(
            **inputs,
            model=parameters.get("large_model_reference", default),
            template=request.template,
            **place,
        )
    )
    return parameters, checked
