"""Where a task of this stage is done: over MLflow where a registry is named, else on Vertex AI."""

from __future__ import annotations

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.registry_location import credentials_problem
from kfp_llm_tuning.components.upload import local_platform
from kfp_llm_tuning.components.upload.tasks import (
    CurvesTask,
    Deployed,
    DeployTask,
    Uploaded,
    UploadTask,
)


def upload(task: UploadTask) -> Uploaded:
    """Registers a tuned model.

    Args:
        task: What to register, and where.

    Returns:
        What was made; nothing where the gate is closed.

    Raises:
        UserError: If the platform refuses, or the registry's URI holds a password.
    """
    if task.registry_uri:
        _refuse_credentials(task.registry_uri)
        return local_platform.upload(task)
    from kfp_llm_tuning.components.upload.vertex_platform import upload as upload_to_vertex

    return upload_to_vertex(task)


def deploy(task: DeployTask) -> Deployed:
    """Deploys a registered model.

    Args:
        task: What to deploy, and where.

    Returns:
        What was made; nothing where there is nothing to deploy.

    Raises:
        UserError: If the platform refuses, or the registry's URI holds a password.
    """
    if task.registry_uri:
        _refuse_credentials(task.registry_uri)
        return local_platform.deploy(task)
    from kfp_llm_tuning.components.upload.vertex_platform import deploy as deploy_on_vertex

    return deploy_on_vertex(task)


def show_curves(task: CurvesTask) -> str:
    """Brings the tuner's curves to where they can be looked at.

    Args:
        task: Which curves, and where to.

    Returns:
        The address to look at them.

    Raises:
        UserError: If the platform refuses.
    """
    if task.registry_uri:
        return local_platform.show_curves(task)
    from kfp_llm_tuning.components.upload.vertex_platform import show_curves as upload_curves

    return upload_curves(task)


def _refuse_credentials(registry_uri: str) -> None:
    problem = credentials_problem(registry_uri)
    if problem:
        raise UserError(problem)
