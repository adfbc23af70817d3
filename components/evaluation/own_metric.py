"""A metric of the user's own: a function of theirs, called with every answer."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.metrics import METRICS, PRIMARY
from kfp_llm_tuning.components.common.wording import did_you_mean, short

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WHERE = "primary_metric"
_SIGNATURE = "a function (reference, prediction) or (reference, prediction, prompt) -> number"


def own_metric_name(given: str) -> str:
    """Names a user's metric: as its function, or with its module where that is a metric of ours.

    Args:
        given: ``module:function``.
    """
    module, _, function = given.partition(":")
    taken = function in METRICS or function == PRIMARY
    return f"{module}.{function}" if taken else function


class OwnMetric:
    """A user's function."""

    def __init__(self, given: str) -> None:
        """Imports it.

        Args:
            given: ``module:function``.

        Raises:
            UserError: If there is no such module or function, the module fails, or the function
                takes other arguments.
        """
        self._given = given
        self._function = _imported(given)
        self._takes_prompt = _takes_prompt(given, self._function)

    def values(
        self, references: Sequence[str], predictions: Sequence[str], prompts: Sequence[str]
    ) -> NDArray[np.float64]:
        """Calls it with every answer.

        Args:
            references: What is right, one text an example.
            predictions: What was answered, in the same order.
            prompts: What was asked, likewise.

        Returns:
            Its values; shape (examples,).

        Raises:
            UserError: If it raises, or returns something else than a finite number.
        """
        rows = zip(references, predictions, prompts, strict=True)
        return np.array([self._value(*row) for row in rows], dtype=np.float64)

    def _value(self, reference: str, prediction: str, prompt: str) -> float:
        given = (reference, prediction, prompt) if self._takes_prompt else (reference, prediction)
        called = f"for the reference {short(reference)} and the prediction {short(prediction)}"
        try:
            value = self._function(*given)
        except Exception as error:
            what = f"{self._given} raised {type(error).__name__} {called}: {short(str(error))}."
            raise UserError(Problem(what, _WHERE, fix="Mend the function.")) from error
        if not isinstance(value, Real | np.bool_) or not math.isfinite(value):
            what = f"{self._given} returned {short(value)} {called}."
            raise UserError(Problem(what, _WHERE, "a finite number, more being better"))
        return float(value)


def _imported(given: str) -> Callable[..., Any]:
    module_name, _, function_name = given.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        what = f"{module_name} cannot be imported: {type(error).__name__}: {short(str(error))}."
        fix = (
            "It must stand where evaluate-model runs: in the folder that the run is started from "
            "or on PYTHONPATH on this machine, elsewhere in the components' image."
        )
        raise UserError(Problem(what, _WHERE, fix=fix)) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [name for name, value in vars(module).items() if callable(value)]
        what = f"{module_name} has no function {function_name}."
        fix = did_you_mean(function_name, known)
        raise UserError(Problem(what, _WHERE, _SIGNATURE, fix))
    found: Callable[..., Any] = function
    return found


def _takes_prompt(given: str, function: Callable[..., Any]) -> bool:
    """Finds out by its signature whether a function is given the prompt too."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        # Some functions written in C tell nothing of theirs.
        return False
    for count in (3, 2):
        try:
            signature.bind(*[""] * count)
        except TypeError:
            continue
        return count == 3
    what = f"{given} takes {signature}, which cannot be called with what there is."
    raise UserError(Problem(what, _WHERE, _SIGNATURE))
