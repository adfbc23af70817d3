"""Examines the base model that a reference names, wherever it is; brings no weights for that."""

from __future__ import annotations

from contextlib import suppress

from kfp_llm_tuning.components.common.errors import Problem, collect
from kfp_llm_tuning.components.models import base_models
from kfp_llm_tuning.components.models.checkpoint_files import Files
from kfp_llm_tuning.components.models.checkpoint_problems import CheckpointUnreachable, named
from kfp_llm_tuning.components.models.inspection.findings import Inspection
from kfp_llm_tuning.components.models.inspection.inspect import inspect_checkpoint
from kfp_llm_tuning.components.models.model_reference import ModelReference

_WHERE = "large_model_reference"


def inspect_base(reference: ModelReference, conversations: bool = False) -> Inspection:
    """Examines a base model; see `inspect_checkpoint`.

    Args:
        reference: The model.
        conversations: Whether it is to be tuned on conversations.

    Returns:
        All that was found, each told of the parameter large_model_reference.

    Raises:
        CheckpointUnreachable: If it could not be looked at: nothing is known of it.
        UserError: If it is not there, or may not be read.
    """
    folder = base_models.small_files(reference)
    files: Files | None = None
    problems: list[Problem] = []
    # Of a hub that does not answer, what is on this machine already is enough.
    with collect(problems), suppress(CheckpointUnreachable):
        files = base_models.listed_files(reference, folder)
    found = inspect_checkpoint(folder, reference.name, files, conversations)
    found.problems = [named(problem, _WHERE) for problem in (*problems, *found.problems)]
    found.warnings = [named(problem, _WHERE) for problem in found.warnings]
    found.notes = [named(problem, _WHERE) for problem in found.notes]
    return found
