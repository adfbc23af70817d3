"""The inspection of a base checkpoint: everything that is wrong with it, at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, collect
from kfp_llm_tuning.components.models.checkpoint_files import (
    ADAPTER_CONFIG,
    CONFIG,
    Files,
    local_files,
)
from kfp_llm_tuning.components.models.inspection.architecture import check_architecture
from kfp_llm_tuning.components.models.inspection.findings import Inspection
from kfp_llm_tuning.components.models.inspection.generation import check_generation
from kfp_llm_tuning.components.models.inspection.quantisation import check_not_quantised
from kfp_llm_tuning.components.models.inspection.vocabulary import check_vocabulary
from kfp_llm_tuning.components.models.integrity import read_config, read_generation_config
from kfp_llm_tuning.components.models.model_sizes import check_sizes, embedding_rows
from kfp_llm_tuning.components.models.safetensors_header import Tensor
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer
from kfp_llm_tuning.components.models.weights import read_tensors


def inspect_checkpoint(
    folder: Path, place: str, weights: Files | None, conversations: bool = False
) -> Inspection:
    """Examines a checkpoint.

    Args:
        folder: Its configuration and tokenizer on this machine.
        place: Names the checkpoint in messages.
        weights: All its files, wherever they are; None where the weights cannot be looked at.
        conversations: Whether it is to be tuned on conversations.

    Returns:
        All that was found.
    """
    found, files = Inspection(), local_files(folder)
    config: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    with collect(found.problems):
        config = read_config(files, place)
        check_architecture(config, f"{place}/{CONFIG}", found)
    if weights is not None:
        with collect(found.problems):
            tensors = read_tensors(weights, place)
            check_sizes(config, tensors, f"{place}/{CONFIG}")
    check_not_quantised(config, tensors, place, found)
    if ADAPTER_CONFIG in files and config:
        found.problems.append(_adapter_beside(place))
    with collect(found.problems):
        check_generation(read_generation_config(files, place), place, found)
    with collect(found.problems):
        found.tokenizer = load_tokenizer(folder, place)
        check_vocabulary(found.tokenizer, embedding_rows(config, tensors), place, found)
        if conversations and not found.tokenizer.chat_template:
            found.warnings.append(_no_chat_template(place))
    return found


def _adapter_beside(place: str) -> Problem:
    return Problem(
        f"has an adapter beside its weights ({ADAPTER_CONFIG}): both would be loaded.",
        place,
        "a whole model without adapters",
        "Merge it first: model.merge_and_unload().save_pretrained(OUTPUT); or take the file away.",
    )


def _no_chat_template(place: str) -> Problem:
    return Problem(
        "has no chat template: conversations are written as plain text, each message under its "
        "author's name, in training and in answers.",
        place,
        fix="To tune on the form that its makers have trained, take its instruction-tuned "
        "variant, or put their chat_template.jinja beside the tokenizer.",
    )
