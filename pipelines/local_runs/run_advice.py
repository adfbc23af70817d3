"""What to do after a run on this machine that did not succeed: go on with it, or begin anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.parameters.row import option_name


def advise(
    problems: Sequence[Problem], parameters: Mapping[str, Any], resume_command: str
) -> list[str]:
    """Recommends to resume a run only where that can help.

    A resumed run keeps its parameters. It fails again where one of them is at fault, unless that
    names a place: what lies there may be mended.

    Args:
        problems: The mistakes that its tasks told of.
        parameters: Of the run.
        resume_command: What a person types to go on.

    Returns:
        Lines for a person.
    """
    at_fault = {
        name: str(parameters[name])
        for problem in problems
        for name in problem.where.split(", ")
        if name in parameters
    }
    if not at_fault:
        return [f"Go on with: {resume_command}"]
    options = ", ".join(option_name(name) for name in at_fault)
    anew = f"With another value of {options} begin a new run, without --resume."
    if all("/" in value for value in at_fault.values()):
        return [f"When what {options} names is mended, go on with: {resume_command}", anew]
    return [f"A resumed run keeps its parameters: it cannot help here. {anew}"]
