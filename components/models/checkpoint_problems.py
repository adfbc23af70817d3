"""How problems of a checkpoint are told to somebody who named it by a parameter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from kfp_llm_tuning.components.common.errors import Problem, UserError


class CheckpointUnreachable(UserError):
    """A checkpoint could not be looked at: nothing is known of it, neither good nor bad."""


@contextmanager
def naming_parameter(parameter: str) -> Iterator[None]:
    """Puts the parameter before the file in every problem of the block.

    Args:
        parameter: What the user wrote the checkpoint's name into.

    Raises:
        UserError: The block's own.
    """
    try:
        yield
    except UserError as error:
        raise UserError(*(named(problem, parameter) for problem in error.problems)) from error


def named(problem: Problem, parameter: str) -> Problem:
    """Puts the parameter before the file that a problem names."""
    return replace(problem, what=f"{problem.where} {problem.what}", where=parameter)
