"""Settles what the tuner is asked to do: the model's defaults, overruled by the inputs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.common.wording import counted
from kfp_llm_tuning.components.data.artifacts import Encoding, read_encoding
from kfp_llm_tuning.components.data.training_steps import (
    RunLength,
    TrainingSteps,
    training_steps,
)
from kfp_llm_tuning.components.models.implemented import no_engine
from kfp_llm_tuning.components.models.learning_rates import LEGACY_RATE, check_learning_rate
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.parameters.pipeline import RootInputs
from kfp_llm_tuning.components.parameters.reading import limit_problems, read
from kfp_llm_tuning.components.parameters.row import row, rows_of
from kfp_llm_tuning.components.parameters.tuner import read_further
from kfp_llm_tuning.components.tuning.arguments import TuningArguments

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TuningRequest(RootInputs):
    """What the pipeline's inputs say about tuning, each of its type and within its limits."""

    project: str = row("", help="Google Cloud project; any name on other platforms.")
    model_display_name: str = row("", help="Name of the tuned model.")
    use_tpu: bool = row(False, help="Whether tuning is to run on TPU.")

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> TuningRequest:
        """Takes what is said about tuning out of a task's inputs.

        Args:
            inputs: Values by name, numbers as JSON and kfp hand them over; others may be there.

        Returns:
            The request.

        Raises:
            UserError: With every problem found.
        """
        known = rows_of(cls)
        found, problems = read({name: inputs[name] for name in inputs if name in known}, known)
        for name, value in found.items():
            problems += limit_problems(value, known[name])
        further, unfit = read_further(found.get("tuner_arguments", {}))
        raise_all([*problems, *unfit])
        return cls(**{**found, "tuner_arguments": further})

    @property
    def accelerator(self) -> str:
        """The accelerator whose column of the tables applies; a machine without takes the GPU's."""
        return "TPU" if self.use_tpu else "GPU"

    @property
    def model_label(self) -> str:
        """The model in the letters of a label."""
        return resolve(self.large_model_reference).label


def compose(request: TuningRequest, train_folder: Path, evaluation_folder: Path) -> str:
    """Composes the tuner's payload, with one line of log a decision.

    Args:
        request: The pipeline's inputs.
        train_folder: The encoded training set.
        evaluation_folder: The encoded evaluation set; its examples may be none.

    Returns:
        ``TuningArguments`` as JSON.

    Raises:
        UserError: With every problem found.
    """
    arguments, decisions = compose_arguments(
        request, read_encoding(train_folder), read_encoding(evaluation_folder)
    )
    for decision in decisions:
        logger.info("%s", decision)
    return arguments.to_json()


def compose_arguments(
    request: TuningRequest, training: Encoding, evaluation: Encoding
) -> tuple[TuningArguments, list[str]]:
    """Decides every argument of the tuner that the model or the inputs have a say in.

    Args:
        request: The pipeline's inputs.
        training: Facts of the encoded training set.
        evaluation: Facts of the encoded evaluation set.

    Returns:
        The arguments, and a sentence for each decision.

    Raises:
        UserError: With every problem found.
    """
    if refusal := no_engine("tune", request.accelerator):
        raise UserError(Problem(refusal, "use_tpu", "false"))
    reference = resolve(
        request.large_model_reference,
        tuning_method=request.tuning_method,
        accelerator=request.accelerator,
        max_context_length=request.max_context_length,
    )
    check_learning_rate(request.learning_rate, request.tuning_method)
    has_evaluation = evaluation.examples > 0
    batch_size = request.tuner_arguments.get("batch_size", 0)
    batch_size = reference.batch_size(request.accelerator, batch_size)
    length = RunLength(reference.steps(request.train_steps), request.epochs)
    steps = training_steps(length, training.task, training.examples, batch_size)
    # From values: JSON, and so KFP, hands the number 1.0 over as 1.
    arguments = TuningArguments.from_values(
        {
            "model_reference": reference.name,
            "display_name": request.model_display_name,
            "train_steps": steps.steps,
            "batch_size": batch_size,
            "learning_rate": reference.rate(request.learning_rate, request.tuning_method),
            "learning_rate_multiplier": request.learning_rate_multiplier,
            "tuning": reference.tuning,
            "seed": request.seed,
            "evaluation_interval": request.evaluation_interval,
            "enable_early_stopping": request.enable_early_stopping and has_evaluation,
            "enable_checkpoint_selection": has_evaluation
            and reference.selects_checkpoint(request.enable_checkpoint_selection),
            **request.tuner_arguments,
        }
    )
    return arguments, _decisions(request, reference, arguments, steps, training, evaluation)


def _decisions(
    request: TuningRequest,
    reference: ModelReference,
    arguments: TuningArguments,
    steps: TrainingSteps,
    training: Encoding,
    evaluation: Encoding,
) -> list[str]:
    seen = arguments.train_steps * arguments.batch_size
    method = "LoRA adapter" if arguments.tuning == "adapter" else "every weight"
    decisions = [
        reference.substitution_notice,
        f"model {reference.checkpoint_at_revision}, tuning {method}: "
        f"method {request.tuning_method} for {reference.name}",
        f"batch size {arguments.batch_size}: {_batch_source(request, reference)}",
        f"learning rate {arguments.peak_learning_rate:g}: {arguments.learning_rate:g} "
        f"({_rate_source(request, reference)}) x {arguments.learning_rate_multiplier:g}",
        f"{counted(arguments.train_steps, 'step')}{_steps_source(request, steps)}: "
        f"{counted(seen, 'example')} seen, "
        f"{seen / training.examples:.2f} epochs of {training.examples}",
        *(
            f"{name} {value}: as given"
            for name, value in request.tuner_arguments.items()
            if name != "batch_size"
        ),
    ]
    if not evaluation.examples:
        off = "no evaluation: there is no evaluation set"
        if request.enable_early_stopping or reference.selects_checkpoint(
            request.enable_checkpoint_selection
        ):
            off += ", so early stopping and checkpoint selection are off"
        decisions.append(off)
    else:
        decisions += [
            f"evaluation over {counted(evaluation.examples, 'example')}, "
            f"{counted(arguments.evaluation_interval, 'step')} apart",
            f"early stopping {_on(arguments.enable_early_stopping)}: as given",
            f"checkpoint selection {_on(arguments.enable_checkpoint_selection)}: "
            + _selection_source(request, reference),
        ]
    return [decision for decision in decisions if decision]


def _batch_source(request: TuningRequest, reference: ModelReference) -> str:
    if "batch_size" in request.tuner_arguments:
        return "as given"
    return f"from the table for {reference.name}, column {request.accelerator}"


def _rate_source(request: TuningRequest, reference: ModelReference) -> str:
    if request.learning_rate < 0:
        return f"recommended for {reference.name}"
    if request.tuning_method != "tune":
        return "as given"
    return f"{request.learning_rate:g} as given, where {LEGACY_RATE:g} is what tune recommends"


def _steps_source(request: TuningRequest, steps: TrainingSteps) -> str:
    reason = steps.reason
    if not reason and request.train_steps <= 0:
        reason = f"the default of {request.tuning_method}"
    return f" ({reason})" if reason else ""


def _selection_source(request: TuningRequest, reference: ModelReference) -> str:
    if request.enable_checkpoint_selection.lower() == "default":
        return f"the default for {reference.name}"
    return "as given"


def _on(value: bool) -> str:
    return "on" if value else "off"
