"""How long a run trains, where a request does not say, or says it twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.training_steps import said_twice
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES, TEXT
from kfp_llm_tuning.components.parameters.reading import converted

# The root input's value that lets the task decide.
ADVISED = -1.0


def with_advised_steps(values: Mapping[str, Any], template: str) -> dict[str, Any]:
    """Lets the task found in the data decide on the steps, where nothing else was said.

    Published requests, and the closed names, keep the published steps.

    Args:
        values: Values of root inputs, as given.
        template: The pipeline's name.

    Returns:
        The values, with epochs where neither these nor train_steps were given.
    """
    said = "train_steps" in values or "epochs" in values
    if said or _names_closed_model(values, template):
        return dict(values)
    return {**values, "epochs": ADVISED}


def length_problems(values: Mapping[str, Any]) -> list[Problem]:
    """Finds out whether a request says twice how long it trains, be it the same.

    Args:
        values: Values of root inputs, as given.

    Returns:
        The problem, or nothing.
    """
    if "train_steps" not in values or "epochs" not in values:
        return []
    try:
        epochs = converted(values["epochs"], TEXT["epochs"], texts=True)
    except UserError:  # The check of the parameters tells it.
        return []
    return [said_twice()] if epochs else []


def _names_closed_model(values: Mapping[str, Any], template: str) -> bool:
    from kfp_llm_tuning.components.models.model_references import resolve

    default = TEMPLATES[template]["large_model_reference"].default
    try:
        reference = resolve(str(values.get("large_model_reference", default)))
    except UserError:  # The check of the parameters tells it.
        return False
    return bool(reference.substitute_for)
