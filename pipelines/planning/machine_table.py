"""Which machine for which model: the smallest that holds it, with predicted speed and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kfp_llm_tuning.components.models.devices import uncertainty
from kfp_llm_tuning.components.models.feasibility import (
    Setup,
    smallest_machine,
    verdict,
)
from kfp_llm_tuning.components.models.footprint import Method
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.models.model_references import names, resolve
from kfp_llm_tuning.components.models.model_shapes import shape_of
from kfp_llm_tuning.pipelines.planning.estimate import Workload, estimate, predicted_step

# What a step is taken to train on, where no data is known.
EXAMPLES, TOKENS, STEPS = 8, 512, 1000
TITLES = ("MODEL", "WEIGHTS", "METHOD", "MACHINE", "GB", "TOKENS/S", "COST")


@dataclass(frozen=True)
class Row:
    """What is predicted of a model and a method; empty and zero where no machine holds it.

    Attributes:
        model: Its name.
        weights: How many it has.
        method: LoRA, LoRA in 4 bits or full.
        machine: The smallest of machine_specs.yaml.
        gigabytes: Memory that each of its devices needs.
        tokens_per_second: Of the whole machine.
        cost: US dollars of ``STEPS`` steps, start of the machine and the other tasks among them.
        time_uncertainty: The rate may be wrong by this factor either way.
        cost_uncertainty: The cost may be wrong by this factor either way.
    """

    model: str
    weights: int
    method: str
    machine: str = ""
    gigabytes: float = 0.0
    tokens_per_second: float = 0.0
    cost: float | None = None
    time_uncertainty: float = 1.0
    cost_uncertainty: float = 1.0

    @property
    def texts(self) -> tuple[str, ...]:
        """Writes it for people, a text a title."""
        size = (
            f"{self.weights / 1e9:.3g}B"
            if self.weights >= 0.9995e9
            else f"{self.weights / 1e6:.3g}M"
        )
        if not self.machine:
            return (self.model, size, self.method, "none of the table", "", "", "")
        cost = "not known"
        if self.cost is not None:
            low, high = (self.cost * factor for factor in _bars(self.cost_uncertainty))
            cost = f"${self.cost:,.2f} ({low:,.2f} to {high:,.2f})"
        low, high = (self.tokens_per_second * factor for factor in _bars(self.time_uncertainty))
        rate = f"{self.tokens_per_second:,.0f} ({low:,.0f} to {high:,.0f})"
        return (self.model, size, self.method, self.machine, f"{self.gigabytes:.0f}", rate, cost)


def rows() -> list[Row]:
    """Predicts every named model in every method of this version."""
    methods = {
        "LoRA": Method("adapter"),
        "full": Method("full"),
        "LoRA, 4 bits": Method("adapter", four_bit=True),
    }
    found = {name: resolve(name) for name in names()}
    own = {name: one for name, one in found.items() if not one.substitute_for}
    return [
        _row(name, reference.checkpoint, title, method)
        for name, reference in own.items()
        for title, method in methods.items()
    ]


def notes() -> Sequence[str]:
    """Says what the figures are of."""
    return (
        f"Steps of {EXAMPLES} examples of {TOKENS} tokens, a quarter learned; the cost is that of "
        f"{STEPS:,} steps at list prices, with the start of the machine and the other tasks. "
        "Shorter rows are slower.",
        f"Memory may be wrong by a factor of {uncertainty('memory'):g}, the rate by "
        f"{uncertainty('time'):g}: nothing of it was measured on a GPU.",
    )


def _row(name: str, checkpoint: str, title: str, method: Method) -> Row:
    shape = shape_of(checkpoint)
    assert shape, f"{checkpoint} has no row in model_shapes.yaml"
    anywhere = Setup.on(select_machine("GPU"), shape, method)
    assert anywhere
    machine = smallest_machine(anywhere)
    if machine is None:
        return Row(name, shape.weights, title)
    work = Workload(
        steps=STEPS,
        batch_size=EXAMPLES,
        examples=STEPS * EXAMPLES,
        tokens_per_example=TOKENS,
        parameters=shape.weights,
        tuning=method.tuning,
        machine=machine.name,
        deploys=False,
        shape=shape,
        method=method,
    )
    step, made = predicted_step(work), estimate(work)
    setup = Setup.on(machine, shape, method)
    assert step and setup
    return Row(
        name,
        shape.weights,
        title,
        machine.name,
        verdict(setup).needed.total / 1e9,
        step.tokens_per_second,
        made.cost,
        uncertainty("time"),
        made.uncertainty,
    )


def _bars(factor: float) -> tuple[float, float]:
    return 1 / factor, factor
