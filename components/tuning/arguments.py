"""What one tuning run is asked to do: the table's arguments, checked, with their JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfp_llm_tuning.components.common.documents import parse_json
from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.parameters.reading import limit_problems, read
from kfp_llm_tuning.components.parameters.tuner import ARGUMENTS, TunerInputs


@dataclass(frozen=True)
class TuningArguments(TunerInputs):
    """The arguments of one run, checked, and what follows from them."""

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            UserError: With every problem found.
        """
        found, problems = read(dataclasses.asdict(self), ARGUMENTS)
        raise_all([*problems, *_limit_problems(found)])

    @property
    def peak_learning_rate(self) -> float:
        """Learning rate after warm-up: the rate times its multiplier."""
        return self.learning_rate * self.learning_rate_multiplier

    @property
    def warmup_steps(self) -> int:
        """Steps in which the learning rate rises."""
        return math.ceil(self.warmup_ratio * self.train_steps)

    @property
    def steps_between_checkpoints(self) -> int:
        """Steps between checkpoints: by default a 20th of the run in whole evaluation intervals."""
        if self.checkpoint_interval:
            return self.checkpoint_interval
        intervals = math.ceil(self.train_steps / (20 * self.evaluation_interval))
        return intervals * self.evaluation_interval

    def to_json(self) -> str:
        """Writes the payload: every field, keys sorted."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, overrides: Mapping[str, Any] | None = None) -> TuningArguments:
        """Reads a payload; fields that it leaves out take their defaults.

        Args:
            text: A JSON object.
            overrides: Values that take the place of the payload's.

        Returns:
            The checked arguments.

        Raises:
            UserError: With every problem found: unknown or missing fields, wrong types, values
                out of range.
        """
        values = parse_json(text, "payload")
        if not isinstance(values, dict):
            allowed = "a JSON object of tuner arguments"
            raise UserError(Problem(f"{short(values)} is no object.", "payload", allowed))
        return cls.from_values(values | dict(overrides or {}), "payload: ")

    @classmethod
    def from_values(cls, values: Mapping[str, Any], place: str = "") -> TuningArguments:
        """Makes arguments of a mapping.

        Args:
            values: Arguments by name; those left out take their defaults.
            place: Stands in messages before names that are unknown or have a value of a wrong type.

        Returns:
            The checked arguments.

        Raises:
            UserError: As :meth:`from_json`.
        """
        fix = f"There are {', '.join(ARGUMENTS)}."
        found, problems = read(values, ARGUMENTS, what="unknown argument.", fix=fix, place=place)
        if "model_reference" not in values:
            problems.append(Problem("model_reference is missing.", "payload"))
        problems += _limit_problems(found)
        raise_all(problems)
        return cls(**found)


def _limit_problems(values: Mapping[str, Any]) -> list[Problem]:
    problems = [
        problem
        for name, value in values.items()
        for problem in limit_problems(value, ARGUMENTS[name])
    ]
    if values.get("model_reference") == "":
        problems.append(Problem("is empty.", "model_reference"))
    return [*problems, *_four_bit_problems(values)]


def _four_bit_problems(values: Mapping[str, Any]) -> list[Problem]:
    if not values.get("load_in_4bit"):
        return []
    problems = []
    if values.get("tuning", "adapter") != "adapter":
        what = "weights in 4 bits cannot be trained, only adapters beside them."
        problems.append(Problem(what, "load_in_4bit", "false with full tuning"))
    if values.get("sharding") == "full":
        what = "weights in 4 bits cannot be spread over processes."
        fix = "Leave sharding at auto: every process then holds all of the 4-bit weights."
        problems.append(Problem(what, "load_in_4bit", "false with sharding full", fix))
    return problems
