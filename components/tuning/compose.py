"""Settles what the tuner is asked to do: the model's defaults, overruled by the inputs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.artifacts import Encoding, read_encoding
from kfp_llm_tuning.components.models.implemented import no_engine
from kfp_llm_tuning.components.models.model_references import (
    LEGACY_RATE,
    ModelReference,
    check_learning_rate,
    resolve,
)
from kfp_llm_tuning.components.tuning.arguments import TuningArguments

logger = logging.getLogger(__name__)

_SELECTIONS = {"true": True, "false": False, "default": None}


@dataclass(frozen=True)
class TuningRequest:
    """What the pipeline's inputs say about tuning.

    Attributes:
        large_model_reference: What is tuned.
        model_display_name: Name of the tuned model.
        train_steps: Batches to train on; 0 or less means the method's own.
        learning_rate: Negative means the model's own.
        learning_rate_multiplier: Factor on the learning rate.
        tuning_method: A name of ``model_references.TUNING_METHODS``.
        max_context_length: "8k", "32k" or empty.
        evaluation_interval: Steps between two evaluations.
        enable_early_stopping: Stop when evaluations no longer get better.
        enable_checkpoint_selection: "true", "false" or "default" (the model's own), in any case.
        use_tpu: Whether tuning is to run on TPU.
        seed: Seed of weights, order and dropout.
    """

    large_model_reference: str
    model_display_name: str = ""
    train_steps: int = 300
    learning_rate: float = -1.0
    learning_rate_multiplier: float = 1.0
    tuning_method: str = "tune_v2"
    max_context_length: str = ""
    evaluation_interval: int = 20
    enable_early_stopping: bool = True
    enable_checkpoint_selection: str = "default"
    use_tpu: bool = False
    seed: int = 0

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
    # From values: JSON, and so KFP, hands the number 1.0 over as 1.
    arguments = TuningArguments.from_values(
        {
            "model_reference": reference.name,
            "display_name": request.model_display_name,
            "train_steps": reference.steps(request.train_steps),
            "batch_size": reference.batch_sizes[request.accelerator],
            "learning_rate": reference.rate(request.learning_rate, request.tuning_method),
            "learning_rate_multiplier": request.learning_rate_multiplier,
            "tuning": reference.tuning,
            "seed": request.seed,
            "evaluation_interval": request.evaluation_interval,
            "enable_early_stopping": request.enable_early_stopping and has_evaluation,
            "enable_checkpoint_selection": _selection(request, reference) and has_evaluation,
        }
    )
    return arguments, _decisions(request, reference, arguments, training, evaluation)


def _selection(request: TuningRequest, reference: ModelReference) -> bool:
    choice = request.enable_checkpoint_selection
    if choice.lower() not in _SELECTIONS:
        raise UserError(
            Problem(
                f"{choice!r} is unknown.", "enable_checkpoint_selection", ", ".join(_SELECTIONS)
            )
        )
    chosen = _SELECTIONS[choice.lower()]
    return reference.checkpoint_selection if chosen is None else chosen


def _decisions(
    request: TuningRequest,
    reference: ModelReference,
    arguments: TuningArguments,
    training: Encoding,
    evaluation: Encoding,
) -> list[str]:
    seen = arguments.train_steps * arguments.batch_size
    method = "LoRA adapter" if arguments.tuning == "adapter" else "every weight"
    decisions = [
        reference.substitution_notice,
        f"model {reference.checkpoint_at_revision}, tuning {method}: "
        f"method {request.tuning_method} for {reference.name}",
        f"batch size {arguments.batch_size}: from the table for {reference.name} on "
        f"{request.accelerator}",
        f"learning rate {arguments.peak_learning_rate:g}: {arguments.learning_rate:g} "
        f"({_rate_source(request, reference)}) x {arguments.learning_rate_multiplier:g}",
        f"{arguments.train_steps} steps{_steps_source(request)}: {seen} examples seen, "
        f"{seen / training.examples:.2f} epochs of {training.examples}",
    ]
    if not evaluation.examples:
        off = "no evaluation: there is no evaluation set"
        if request.enable_early_stopping or _selection(request, reference):
            off += ", so early stopping and checkpoint selection are off"
        decisions.append(off)
    else:
        decisions += [
            f"evaluation over {evaluation.examples} examples every "
            f"{arguments.evaluation_interval} steps",
            f"early stopping {_on(arguments.enable_early_stopping)}: as given",
            f"checkpoint selection {_on(arguments.enable_checkpoint_selection)}: "
            + _selection_source(request, reference),
        ]
    return [decision for decision in decisions if decision]


def _rate_source(request: TuningRequest, reference: ModelReference) -> str:
    if request.learning_rate < 0:
        return f"recommended for {reference.name}"
    if request.tuning_method != "tune":
        return "as given"
    return f"{request.learning_rate:g} as given, where {LEGACY_RATE:g} is what tune recommends"


def _steps_source(request: TuningRequest) -> str:
    return "" if request.train_steps > 0 else f" (the default of {request.tuning_method})"


def _selection_source(request: TuningRequest, reference: ModelReference) -> str:
    if request.enable_checkpoint_selection.lower() == "default":
        return f"the default for {reference.name}"
    return "as given"


def _on(value: bool) -> str:
    return "on" if value else "off"
