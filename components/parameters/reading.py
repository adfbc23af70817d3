"""The reader of typed values: every problem at once, each with its place.

Types are msgspec's. What is added is what the ways bring along on which values come: JSON and kfp
make 8.0 of 8 and 1 of 1.0, published clients send a boolean for a text, a shell has texts only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from kfp_llm_tuning.components.common.documents import parse_json, unknown_names, value_problems
from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.common.wording import did_you_mean, short
from kfp_llm_tuning.components.parameters.row import Parameter

TYPE_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a JSON object",
    list: "a JSON list",
}
# Whole numbers that protocol buffers and every reader of JSON hold.
_LARGEST_WHOLE_NUMBER = 2**63


def read(
    values: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    *,
    what: str = "unknown parameter.",
    fix: str = "",
    place: str = "",
    further: Iterable[str] = (),
    texts: bool = False,
    limits: bool = False,
) -> tuple[dict[str, Any], list[Problem]]:
    """Reads values by their names.

    Args:
        values: As they came.
        parameters: Those that there are.
        what: What a name is called that is none of theirs.
        fix: What to do where no known name is near.
        place: Stands before each name in a problem's place.
        further: Names that an unknown one may mean besides.
        texts: Whether a text may stand for a value of another type.
        limits: Whether a value must be within its parameter's limits and choices too; those that
            depend on other values are checked later, by :func:`limit_problems`.

    Returns:
        Every value that may be, and a problem for every other and for every unknown name.
    """
    unknown = (name for name in values if name not in parameters)
    problems = unknown_names(unknown, [*parameters, *further], what, fix, place)
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in parameters:
            continue
        if texts and (unfit := value_problems(value, place + name)):
            problems += unfit
            continue
        with collect(problems):
            typed = converted(value, parameters[name], place, texts=texts)
            raise_all(limit_problems(typed, parameters[name], place) if limits else ())
            found[name] = typed
    return found, problems


def missing(values: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> list[Problem]:
    """Finds the required parameters that have no value."""
    return [
        Problem("a value is needed.", name, fix=f"Give {parameter.option}.")
        for name, parameter in parameters.items()
        if parameter.required and name not in values
    ]


def converted(value: Any, parameter: Parameter, place: str = "", *, texts: bool = False) -> Any:
    """Reads one value.

    Args:
        value: As it came.
        parameter: What it is a value of.
        place: Stands before the name in the problem's place.
        texts: Whether a text may stand for a value of another type.

    Returns:
        The value in the parameter's own type.

    Raises:
        UserError: If it is none of that type.
    """
    kind, where = parameter.type, place + parameter.name
    if texts and kind in (dict, list) and isinstance(value, str):
        value = parse_json(value, where) if value.lstrip().startswith(("{", "[")) else value
    if isinstance(value, bool) and "true" in parameter.choices:
        # Published clients send a boolean for enable_checkpoint_selection, whose type is STRING.
        value = str(value).lower()
    is_text = texts and isinstance(value, str) and kind is not str
    lax = is_text or (kind is int and isinstance(value, float))
    try:
        # Python, unlike JSON, counts blanks around a number as nothing.
        plain = value.strip() if is_text else value
        found: Any = msgspec.convert(plain, kind, strict=not lax)
    except msgspec.ValidationError:
        raise UserError(_wrong_type(value, parameter, where)) from None
    unheld = isinstance(found, int) and abs(found) >= _LARGEST_WHOLE_NUMBER
    if unheld or (is_text and isinstance(found, float) and not math.isfinite(found)):
        raise UserError(_wrong_type(value, parameter, where))
    return found


def limit_problems(value: Any, parameter: Parameter, place: str = "") -> list[Problem]:
    """Checks a value of the right type against its parameter's limits and choices.

    Args:
        value: The value.
        parameter: Its row.
        place: Stands before the name in the problem's place.

    Returns:
        What is wrong, or nothing.
    """
    where = place + parameter.name
    if parameter.choices:
        spelt = str.lower if parameter.any_case else str
        if spelt(value) in map(spelt, parameter.choices):
            return []
        near = did_you_mean(value, [name for name in parameter.choices if name])
        return [Problem(f"{short(value)} is unknown.", where, parameter.limits, near)]
    if parameter.type not in (int, float) or _within(value, parameter):
        return []
    return [Problem(f"{value!r} is out of range.", where, parameter.limits)]


def _within(value: float, parameter: Parameter) -> bool:
    """Compares with both limits; a number that is none fails the comparison, endless ones too."""
    if parameter.minimum is None and parameter.maximum is None:
        return True
    low = -math.inf if parameter.minimum is None else parameter.minimum
    high = math.inf if parameter.maximum is None else parameter.maximum
    return low <= value <= high


def _wrong_type(value: Any, parameter: Parameter, where: str) -> Problem:
    kind = TYPE_NAMES[parameter.type]
    return Problem(f"{short(value)} is not {kind}.", where, kind)
