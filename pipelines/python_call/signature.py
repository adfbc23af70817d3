"""Gives a function of Python the parameters of the table: for help, completion and editors."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kfp_llm_tuning.components.common.platforms import LOCAL
from kfp_llm_tuning.components.parameters.pipeline import TEXT, TUNER_ARGUMENTS
from kfp_llm_tuning.components.parameters.row import GROUPS, Parameter
from kfp_llm_tuning.components.parameters.tuner import FURTHER_ARGUMENTS

_LINE = 100


def with_table_parameters(function: Callable[..., Any]) -> Callable[..., Any]:
    """Puts the parameters of the table into a function's signature and docstring.

    Args:
        function: Takes them as ``**parameters``. Those that it names itself are left out, and
            those that have no effect on this machine; it takes them too.

    Returns:
        The function.
    """
    signature = inspect.signature(function)
    own = [one for one in signature.parameters.values() if one.kind != one.VAR_KEYWORD]
    further = [
        parameter
        for name, parameter in {**TEXT, **FURTHER_ARGUMENTS}.items()
        if name not in {*signature.parameters, TUNER_ARGUMENTS}
        and (not parameter.platforms or LOCAL.name in parameter.platforms)
    ]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own, *map(_keyword, further)]
    )
    function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{_described(further)}"
    return function


def _keyword(parameter: Parameter) -> inspect.Parameter:
    return inspect.Parameter(
        parameter.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=parameter.default,
        annotation=parameter.type.__name__,
    )


def _described(parameters: list[Parameter]) -> str:
    groups: Mapping[str, list[Parameter]] = {name: [] for name in GROUPS}
    for parameter in parameters:
        groups[parameter.group].append(parameter)
    lines = ["Parameters of the pipeline and of the tuner, by group:"]
    for name, members in groups.items():
        if members:
            lines += ["", f"  {name[0].upper()}{name[1:]}"]
            lines += [line for member in members for line in _described_one(member)]
    return "\n".join(lines)


def _described_one(parameter: Parameter) -> Iterator[str]:
    default = parameter.decided_by or repr(parameter.default)
    shown = "" if parameter.default is None else f" [{default}]"
    text = f"{parameter.name} ({parameter.type.__name__}): {parameter.help}{shown}"
    yield from textwrap.wrap(
        text, _LINE, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False
    )
