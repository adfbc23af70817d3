"""Deployments: a deployed model is there once its container is healthy, or never."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from google.protobuf import json_format

from tests.vertex import errors
from tests.vertex.backend import Backend
from tests.vertex.images import start_error
from tests.vertex.machines import accelerator_name
from tests.vertex.runner_protocol import Container, ContainerError


def start(
    backend: Backend, endpoint: str, deployed: Any, model: Any, commit: Callable[[], None]
) -> Future[None] | None:
    """Start the container of a model, where containers are run.

    Args:
        backend: The state.
        endpoint: The endpoint's name.
        deployed: The DeployedModel.
        model: The Model.
        commit: Makes the deployment; called at once where no container is run, otherwise when it
            is healthy.

    Returns:
        What the operation waits for; None where the deployment was made at once.
    """
    if backend.runner is None or backend.predictor is not None:
        commit()
        return None
    machine = deployed.dedicated_resources.machine_spec
    if error := start_error(model.container_spec.image_uri, accelerator_name(machine)):
        raise errors.failed_precondition(f"Model server never became ready. {error}")
    deployment = (endpoint, deployed.id)
    folder = f"deployed-{deployed.id}-{backend.clock.timestamp().ToNanoseconds()}"
    try:
        container = backend.runner.start_container(
            json_format.MessageToDict(model),
            endpoint,
            json_format.MessageToDict(deployed),
            backend.environment,
            backend.folder / folder,
        )
    except OSError as error:
        raise errors.failed_precondition(f"The container did not start: {error}") from error
    backend.containers.add(deployment, container)
    work: Future[None] = Future()

    def follow() -> None:
        try:
            _wait(container)
            with backend.store.lock:
                commit()
        except Exception as error:  # noqa: BLE001  the operation failed, whatever it was
            backend.containers.stop(deployment)
            work.set_exception(error)
        else:
            work.set_result(None)

    threading.Thread(target=follow, daemon=True).start()
    return work


def _wait(container: Container) -> None:
    try:
        container.wait_until_healthy()
    except ContainerError as error:
        raise errors.failed_precondition(str(error)) from error
