"""Estimates time and cost of a run, from the operations of its steps and assumptions.yaml."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.models.feasibility import Setup, verdict
from kfp_llm_tuning.components.models.footprint import Method
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.models.model_shapes import TABLE as SHAPES
from kfp_llm_tuning.components.models.model_shapes import ModelShape, shape_of
from kfp_llm_tuning.components.models.training_time import (
    Batch,
    Processes,
    StepTime,
    step_time,
)

if TYPE_CHECKING:
    from kfp_llm_tuning.components.models.model_reference import ModelReference
    from kfp_llm_tuning.components.validation.summary import Summary
    from kfp_llm_tuning.pipelines.planning.planned_run import Tuner

TABLE = Path(__file__).with_name("assumptions.yaml")
_CHARACTERS_PER_TOKEN = 4
_BYTES_PER_PARAMETER = 2


@dataclass(frozen=True)
class Workload:
    """What is to be tuned.

    Attributes:
        steps: Batches.
        batch_size: Examples a batch.
        examples: Training examples.
        tokens_per_example: Mean, truncated ones as they are tuned on.
        parameters: Of the model; 0 where neither its sizes nor its name tell.
        tuning: "adapter" or "full".
        machine: Name in machine_specs.yaml; empty where it is not known.
        strategy: STANDARD, SPOT or FLEX_START.
        deploys: Whether the model is deployed.
        part: The part of the machine's accelerators that is used.
        price: US dollars an hour of the machine in place of the list price; None for that.
        listed_prices: Whether the listed prices, which are Vertex AI's, hold.
        machines: How many of that machine share every batch.
        shape: The model's sizes; None where they are not known: those of the model of the table
            that is next in size then stand for them.
        method: How it is tuned, in full; None for what ``tuning`` says by default.
        labels: The share of the tokens that is learned.
    """

    steps: int
    batch_size: int
    examples: int
    tokens_per_example: float
    parameters: int
    tuning: str
    machine: str
    strategy: str = "STANDARD"
    deploys: bool = True
    part: float = 1.0
    price: float | None = None
    listed_prices: bool = True
    machines: int = 1
    shape: ModelShape | None = None
    method: Method | None = None
    labels: float = 0.25


@dataclass(frozen=True)
class Estimate:
    """What a run takes; None where it cannot be reckoned.

    Attributes:
        steps: Batches.
        batch_size: Examples a batch.
        epochs: Passes over the training set.
        tokens: That are tuned on.
        tuning_hours: The tuner's steps.
        total_hours: The whole pipeline, without waiting for a machine.
        cost: US dollars, the endpoint left out.
        endpoint_cost_per_hour: US dollars; 0 where nothing is deployed.
        uncertainty: Time and cost may be wrong by this factor either way.
        assumptions: A sentence each.
    """

    steps: int
    batch_size: int
    epochs: float
    tokens: int
    tuning_hours: float | None
    total_hours: float | None
    cost: float | None
    endpoint_cost_per_hour: float | None
    uncertainty: float
    assumptions: tuple[str, ...]


def workload(
    summary: Summary, reference: ModelReference, tuner: Tuner, method: Method | None = None
) -> Workload | None:
    """Describes a run by its validated dataset.

    Args:
        summary: Of the validation.
        reference: The model.
        tuner: The machine.
        method: How it is tuned; None for what the model's reference says.

    Returns:
        The work; None where no example is good.
    """
    if summary.steps is None:
        return None
    prompt, answer = _mean_lengths(summary, reference)
    return Workload(
        steps=summary.steps.train_steps,
        batch_size=summary.steps.batch_size,
        examples=summary.training.training_examples,
        tokens_per_example=_tokens_per_example(summary, reference),
        parameters=parameter_count(reference.checkpoint),
        tuning=reference.tuning,
        machine=tuner.machine,
        strategy=tuner.strategy,
        deploys=tuner.deploys,
        part=tuner.part,
        price=tuner.price,
        listed_prices=tuner.listed_prices,
        machines=tuner.count,
        shape=shape_of(reference.checkpoint),
        method=method,
        labels=answer / max(prompt + answer, 1.0),
    )


def parameter_count(checkpoint: str) -> int:
    """Counts a model's weights by its sizes, else reads its name; 0 where neither tells."""
    from kfp_llm_tuning.components.upload.serving_machines import named_megabytes

    if shape := shape_of(checkpoint):
        return shape.weights
    return (named_megabytes(checkpoint) or 0) * 10**6 // _BYTES_PER_PARAMETER


def weight_megabytes(parameters: int) -> int:
    """Reckons what the weights of a model weigh."""
    return -(-parameters * _BYTES_PER_PARAMETER // 10**6)


def estimate(work: Workload) -> Estimate:
    """Reckons time and cost.

    Args:
        work: What is to be tuned.

    Returns:
        The estimate with its assumptions.
    """
    table = load_table(TABLE)
    minutes = table["minutes"]
    seen = work.steps * work.batch_size
    tokens = round(seen * work.tokens_per_example)
    hours = _tuning_hours(work)
    other = minutes["other_tasks"] + minutes["machine_start"]
    total = None if hours is None else hours + (other + work.deploys * minutes["deployment"]) / 60
    rate = _tuner_rate(work, table)
    return Estimate(
        steps=work.steps,
        batch_size=work.batch_size,
        epochs=seen / work.examples,
        tokens=tokens,
        tuning_hours=hours,
        total_hours=total,
        cost=_cost(hours, rate, work, table),
        endpoint_cost_per_hour=_endpoint_rate(work, table),
        uncertainty=table["uncertainty"],
        assumptions=tuple(_assumptions(work, rate, table)),
    )


def _tokens_per_example(summary: Summary, reference: ModelReference) -> float:
    training = summary.training
    # Of a conversation its longest prompt is counted, which is read once for all its answers.
    answers_together = training.training_examples / max(training.sequences, 1)
    return max(1.0, sum(_mean_lengths(summary, reference)) / max(answers_together, 1.0))


def _mean_lengths(summary: Summary, reference: ModelReference) -> list[float]:
    """Gives the mean tokens of prompts and of answers, as they are tuned on."""
    training = summary.training
    sizes = []
    for tokens, characters, limit in (
        (training.input_tokens, training.input_characters, reference.max_input_tokens),
        (training.output_tokens, training.output_characters, reference.max_output_tokens),
    ):
        mean = tokens.mean if tokens else 0.0
        if not tokens and characters:
            mean = characters.mean / _CHARACTERS_PER_TOKEN
        sizes.append(min(mean, limit))
    return sizes


def predicted_step(work: Workload) -> StepTime | None:
    """Predicts a step on the workload's machines; None where model or machine is not known.

    Args:
        work: What is to be tuned.
    """
    if not work.parameters or not work.machine:
        return None
    shape = work.shape or _like(work.parameters)
    setup = Setup.on(select_machine("", work.machine), shape, work.method or Method(work.tuning))
    if setup is None:
        return None
    if setup.device.cuda:
        devices = max(round(setup.devices * work.part), 1)
        setup = dataclasses.replace(setup, devices=devices)
    else:
        setup = dataclasses.replace(setup, device=setup.device.part(work.part))
    setup = dataclasses.replace(setup, machines=work.machines)
    batch = Batch(work.batch_size * work.tokens_per_example, work.tokens_per_example, work.labels)
    method = verdict(setup, round(work.tokens_per_example)).method
    processes = Processes(setup.processes, setup.machines, setup.network)
    made = step_time(shape, method, setup.device, batch, processes=processes)
    more = work.parameters / shape.weights
    return StepTime(
        made.seconds * more, made.tokens_per_second / more, made.recomputed, made.exchange * more
    )


def _like(parameters: int) -> ModelShape:
    """Finds the shape of the table that is next in size."""
    shapes = [shape for name in load_table(SHAPES)["shapes"] if (shape := shape_of(name))]
    return min(shapes, key=lambda shape: abs(math.log(shape.weights / parameters)))


def _tuning_hours(work: Workload) -> float | None:
    step = predicted_step(work)
    return step.seconds * work.steps / 3600 if step else None


def _tuner_rate(work: Workload, table: Any) -> float | None:
    if work.price is not None:
        return work.price
    if not work.listed_prices:
        return None
    return _rate(table["machines"][work.machine]["price"], work.strategy, table)


def _rate(price: float | None, strategy: str, table: Any) -> float | None:
    if price is None:
        return None
    return float(price * table["strategy_prices"][strategy] * (1 + table["vertex_fee"]))


def _cost(hours: float | None, rate: float | None, work: Workload, table: Any) -> float | None:
    if hours is None or rate is None:
        return None
    minutes = table["minutes"]
    tuner = (hours + minutes["machine_start"] / 60) * rate * work.machines
    if not work.listed_prices:
        return float(tuner)
    tasks = minutes["other_tasks"] / 60 * table["other_tasks_price"]
    return float(tuner + tasks + table["pipeline_run_price"])


def _endpoint_rate(work: Workload, table: Any) -> float | None:
    from kfp_llm_tuning.components.common.errors import UserError
    from kfp_llm_tuning.components.upload.serving_machines import serving_machine

    if not work.deploys:
        return 0.0
    if not work.listed_prices:
        return None
    try:
        machine = serving_machine(weight_megabytes(work.parameters) or None)
    except UserError:
        return None
    return _rate(table["serving"].get(machine.machine_type), "STANDARD", table)


def _assumptions(work: Workload, rate: float | None, table: Any) -> list[str]:
    minutes = table["minutes"]
    size = f"{work.parameters / 1e9:.2g} billion parameters" if work.parameters else "unknown size"
    return [
        f"{work.tokens_per_example:,.0f} tokens an example, a model of {size}, "
        f"{work.tuning} tuning.",
        _speed_assumption(work),
        _price_assumption(work, rate, table),
        f"{minutes['machine_start']} minutes to start the machine, {minutes['other_tasks']} for "
        f"the other tasks" + (f", {minutes['deployment']} to deploy." if work.deploys else "."),
        f"Time and cost may be wrong by a factor of {table['uncertainty']:g} either way; waiting "
        "for a machine is not in them."
        + (
            f" Prices were written down on {table['stated']} and are no offer." * work.listed_prices
        ),
    ]


def _speed_assumption(work: Workload) -> str:
    if not work.machine:
        return "No machine is named, so that no time is reckoned."
    step = predicted_step(work)
    if step is None:
        return f"{work.machine}: no time is reckoned for a model of unknown size."
    machines = f"{work.machines} x {work.machine}" if work.machines > 1 else work.machine
    source = "its config.json" if work.shape else "a model of about its size"
    recomputed = ", layers computed twice for want of memory" if step.recomputed else ""
    exchange = f", {step.exchange:.2g} of them exchange" if step.exchange else ""
    return (
        f"{machines}: about {step.tokens_per_second:,.0f} tokens a second, reckoned from the "
        f"operations and bytes of {source}{recomputed}; {step.seconds:.2g} s a step{exchange}."
    )


def _price_assumption(work: Workload, rate: float | None, table: Any) -> str:
    machine = work.machine or "The machine"
    if work.price is not None:
        return f"{machine}: ${work.price:,.2f} an hour, as given."
    if not work.listed_prices:
        return f"{machine}: no price is given (--machine-price), so that no cost is reckoned."
    price = "no public list price" if rate is None else f"${rate:,.2f} an hour"
    return f"{machine}, {work.strategy}: {price} with Vertex AI's fee of {table['vertex_fee']:.0%}."
