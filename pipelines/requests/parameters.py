"""Reads a request's parameters: names and types, from a shell, a file or a REST body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_llm_tuning.components.common.documents import size_problems
from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.components.parameters.pipeline import TUNER_ARGUMENTS
from kfp_llm_tuning.components.parameters.reading import missing, read
from kfp_llm_tuning.components.parameters.row import Parameter
from kfp_llm_tuning.components.parameters.tuner import FURTHER_ARGUMENTS, read_further


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
    misplaced = [name for name in values if name in FURTHER_ARGUMENTS]
    named = {name: value for name, value in values.items() if name not in misplaced}
    parsed, problems = read(named, parameters, fix=fix, further=FURTHER_ARGUMENTS, texts=True)
    problems += map(_misplaced, misplaced)
    if TUNER_ARGUMENTS in parsed:
        further, unfit = read_further(parsed[TUNER_ARGUMENTS], texts=True)
        parsed[TUNER_ARGUMENTS] = further
        problems += unfit
    return parsed, [*problems, *missing(values, parameters), *size_problems(parsed)]


def _misplaced(name: str) -> Problem:
    what = "is an argument of the tuner, and no input of the template."
    return Problem(what, name, fix=f'Give it in {TUNER_ARGUMENTS}: {{"{name}": ...}}.')
