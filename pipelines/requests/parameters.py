"""Reads a request's parameters: names and types, from a shell, a file or a REST body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_llm_tuning.components.common.documents import size_problems
from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.components.parameters.reading import missing, read
from kfp_llm_tuning.components.parameters.row import Parameter
from kfp_llm_tuning.components.parameters.tuner import read_further


def parse(values: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Checks names and types of a request's parameters.

    Args:
        values: As they came from a command line, a YAML file or a REST body.
        parameters: Those of the template.

    Returns:
        Every parameter given, in its own type. Defaults are not filled in.

    Raises:
        UserError: For every unknown name, value of a wrong type and missing required value.
    """
    parsed, problems = sort_out(values, parameters)
    raise_all(problems)
    return parsed


def sort_out(
    values: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> tuple[dict[str, Any], list[Problem]]:
    """Parses what can be parsed of a request's parameters, so that the rest is told with it.

    Args:
        values: As they came from a command line, a YAML file or a REST body.
        parameters: Those of the template.

    Returns:
        Every parameter whose value is of its type, and a problem for every other: ``where`` is its
        name.
    """
    fix = "See kfp-llm-tuning run --help."
    parsed, problems = read(values, parameters, fix=fix, texts=True)
    if "tuner_arguments" in parsed:
        parsed["tuner_arguments"], unfit = read_further(parsed["tuner_arguments"], texts=True)
        problems += unfit
    return parsed, [*problems, *missing(values, parameters), *size_problems(parsed)]
