"""The two kinds of model that predict: a base model by its reference, a tuned one by its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.checkpoint_files import PROVENANCE
from kfp_llm_tuning.components.models.json_files import read_local_object


@dataclass(frozen=True)
class BaseModelReference:
    """Names an untuned model.

    Attributes:
        reference: A model reference, as the pipeline's ``large_model_reference``.
        tuning_method: Decides the limits with the two below, as in tuning.
        accelerator: "TPU" or "GPU".
        max_context_length: "8k", "32k", or empty.
    """

    reference: str
    tuning_method: str = "tune_v2"
    accelerator: str = "GPU"
    max_context_length: str = ""


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine, ready to be loaded.

    Attributes:
        folder: In Hugging Face layout.
        name: The model's reference, or the base reference of a tuned model.
        tuned: Whether it was tuned.
        max_input_tokens: Limit of a prompt.
        max_output_tokens: Limit of an answer.
    """

    folder: Path
    name: str
    tuned: bool
    max_input_tokens: int
    max_output_tokens: int


def fetch_model(named: BaseModelReference | Path) -> LocalModel:
    """Brings a model to this machine.

    Args:
        named: An untuned model, or the folder of a tuned one.

    Returns:
        The model.

    Raises:
        UserError: If it cannot be found or read.
    """
    return _tuned_model(named) if isinstance(named, Path) else _base_model(named)


def _base_model(named: BaseModelReference) -> LocalModel:
    from kfp_llm_tuning.components.models.base_models import materialise
    from kfp_llm_tuning.components.models.model_references import resolve

    reference = resolve(
        named.reference, named.tuning_method, named.accelerator, named.max_context_length
    )
    return LocalModel(
        materialise(reference),
        reference.name,
        tuned=False,
        max_input_tokens=reference.max_input_tokens,
        max_output_tokens=reference.max_output_tokens,
    )


def _tuned_model(folder: Path) -> LocalModel:
    path = folder / PROVENANCE
    facts = read_local_object(path) if path.is_file() else {}
    try:
        return LocalModel(
            folder,
            str(facts["model_reference"]),
            tuned=True,
            max_input_tokens=int(facts["max_input_tokens"]),
            max_output_tokens=int(facts["max_output_tokens"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            Problem(
                f"{folder} is no tuned model: {PROVENANCE} is missing or incomplete "
                f"({type(error).__name__}: {error}).",
                "saved_model",
                "the output saved_model of large-language-model-tuner",
                "Give any other folder as model_reference.",
            )
        ) from error
