"""The run that is planned, as far as it could be settled without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.requests.parameters import parse

if TYPE_CHECKING:
    from kfp_llm_tuning.components.validation.pipeline_parameters import PipelineSettings


@dataclass(frozen=True)
class Tuner:
    """The machine that is tuned on, as far as it bears on time and cost.

    Attributes:
        machine: Its name in machine_specs.yaml; empty where it is not settled.
        part: The part of its accelerators that is used.
        strategy: How it is obtained.
        price: US dollars an hour in place of the list price; None where none is given.
        listed_prices: Whether the listed prices, which are Vertex AI's, hold.
        deploys: Whether the model is deployed.
        count: Machines of that kind that share every batch.
    """

    machine: str
    part: float = 1.0
    strategy: str = "STANDARD"
    price: float | None = None
    listed_prices: bool = True
    deploys: bool = True
    count: int = 1


@dataclass(frozen=True)
class PlannedRun:
    """The run that is planned.

    Attributes:
        template: The pipeline's name.
        values: Parameters as given; not necessarily valid.
        checked: What follows from valid parameters; None where they are not.
    """

    template: str
    values: Mapping[str, Any]
    checked: PipelineSettings | None

    def value(self, name: str) -> Any:
        """Gives a parameter's value in its own type; its default where it is none of that type."""
        parameter = TEMPLATES[self.template].get(name)
        if parameter is None:
            return ""
        try:
            return parse({name: self.values[name]}, {name: parameter})[name]
        except (KeyError, UserError):
            return parameter.default
