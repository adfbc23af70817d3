"""The tuner's arguments by their own names, folded into the root input ``tuner_arguments``.

A REST body has the template's inputs and no others; options and parameter files may say
``--lora-rank 32`` and ``lora_rank: 32``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.parameters.pipeline import TEXT, TUNER_ARGUMENTS
from kfp_llm_tuning.components.parameters.reading import converted
from kfp_llm_tuning.components.parameters.tuner import FURTHER_ARGUMENTS


def put_over(
    earlier: Mapping[str, Any], given: Mapping[str, Any], place: str
) -> tuple[dict[str, Any], list[Problem]]:
    """Puts the values of one place over those of places before it.

    Args:
        earlier: Values of root inputs.
        given: Values of root inputs and, by their own names, of the tuner's arguments.
        place: Where they are given, for messages.

    Returns:
        Values of root inputs. Of ``tuner_arguments`` each argument is put over the one before it.
        A problem for each argument that is given twice in this place.
    """
    own = {name: given[name] for name in given if name in FURTHER_ARGUMENTS}
    values = {**earlier, **{name: given[name] for name in given if name not in own}}
    if not own and TUNER_ARGUMENTS not in given:
        return values, []
    try:
        before = _object(earlier.get(TUNER_ARGUMENTS, {}))
        here = _object(given.get(TUNER_ARGUMENTS, {}))
    except UserError:  # The check of the parameters tells it.
        return values, []
    values[TUNER_ARGUMENTS] = {**before, **here, **own}
    what = f"stands twice: by its name and in {TUNER_ARGUMENTS}."
    twice = [name for name in own if name in here]
    return values, [Problem(what, f"{place}: {name}", fix="Leave one out.") for name in twice]


def _object(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = converted(value, TEXT[TUNER_ARGUMENTS], texts=True)
    return found
