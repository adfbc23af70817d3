"""What the published default model costs on this machine, for who has named no model."""

from __future__ import annotations

from kfp_llm_tuning.components.common import processors
from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.host_memory import host_memory
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_references import names, resolve
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES
from kfp_llm_tuning.pipelines.planning.estimate import (
    Workload,
    estimate,
    parameter_count,
    weight_megabytes,
)
from kfp_llm_tuning.pipelines.requests.request import Request

_INPUT = "large_model_reference"
# The table's machine without a GPU, and its processors.
_MACHINE, _PROCESSORS = "cpu-16", 16
_TOKENS_PER_EXAMPLE = 200
# Of the weights, in 16 bits: themselves, and half as much again for what a step computes.
_MEMORY_FACTOR = 1.5
_MOST_HOURS = 24.0
_HOURS_PER_DAY = 24


def unnamed_model_problem(request: Request) -> Problem | None:
    """Asks for a model where none is named, and the default is too much for this machine.

    A published request means the default, and gets it.

    Args:
        request: What to run.

    Returns:
        The problem, with what the default costs; None where a model is named, or the machine has a
        GPU, or memory for it and processors that do it within a day.
    """
    if request.published or _INPUT in request.values or _has_gpu():
        return None
    name = str(TEMPLATES[request.template][_INPUT].default)
    reference = resolve(name)
    parameters = parameter_count(reference.checkpoint)
    gigabytes = weight_megabytes(parameters) / 1000
    needed, there = gigabytes * _MEMORY_FACTOR, host_memory().total / 1e9
    tokens, hours = _work(reference, parameters)
    if needed <= there and hours <= _MOST_HOURS:
        return None
    what = (
        f"no model is named, and the default, {name}, is too much for this machine without a GPU: "
        f"{reference.checkpoint} stands in for it, with {parameters / 1e9:.2g} billion parameters, "
        f"{gigabytes:.0f} GB to download, {needed:.0f} GB of memory where there are {there:.0f}, "
        f"and about {_roughly(hours)} for {tokens:,} tokens on {processors.available()} processors "
        f"({reference.train_steps} steps of {reference.batch_size('GPU')} examples of "
        f"{_TOKENS_PER_EXAMPLE} tokens, reckoned as `kfp-llm-tuning plan` does)."
    )
    small = _smallest_model()
    choices = f"byte-tiny to try the pipeline, {small} or another of the table, or a folder"
    return Problem(what, _INPUT, choices, f"Name one, or {name} to insist.")


def _work(reference: ModelReference, parameters: int) -> tuple[int, float]:
    """Reckons as ``plan`` does: tokens that are tuned on, and hours."""
    steps, batch_size = reference.train_steps, reference.batch_size("GPU")
    found = estimate(
        Workload(
            steps=steps,
            batch_size=batch_size,
            examples=steps * batch_size,
            tokens_per_example=_TOKENS_PER_EXAMPLE,
            parameters=parameters,
            tuning=reference.tuning,
            machine=_MACHINE,
            deploys=False,
            part=processors.available() / _PROCESSORS,
        )
    )
    assert found.tuning_hours is not None
    return found.tokens, found.tuning_hours


def _smallest_model() -> str:
    """Names the smallest model of the table that is a real one."""
    sizes = {
        name: parameter_count(found.checkpoint)
        for name in names()
        if (found := resolve(name)).checkpoint.startswith("hf://") and not found.substitute_for
    }
    return min((name for name in sizes if sizes[name]), key=lambda name: sizes[name])


def _roughly(hours: float) -> str:
    return f"{hours / _HOURS_PER_DAY:.0f} days" if hours > 2 * _HOURS_PER_DAY else f"{hours:.0f} h"


def _has_gpu() -> bool:
    from kfp_llm_tuning.components.tuning.this_machine import accelerator_here

    return accelerator_here() != "CPU"
