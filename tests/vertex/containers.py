"""The containers of deployed models that run beside the server."""

from __future__ import annotations

import threading

from tests.vertex.runner_protocol import Container

# The endpoint's name and the deployed model's id.
Deployment = tuple[str, str]


class Containers:
    """Containers by deployment, from their start to their end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Deployment, Container] = {}
        self._ending: list[Container] = []

    def add(self, deployment: Deployment, container: Container) -> None:
        """Take a container that was started."""
        with self._lock:
            self._running[deployment] = container

    def of_endpoint(self, endpoint: str) -> set[str]:
        """The deployments of an endpoint whose containers run, those not healthy yet too."""
        with self._lock:
            return {identifier for name, identifier in self._running if name == endpoint}

    def get(self, deployment: Deployment) -> Container | None:
        """The container of a deployment, None where none runs."""
        with self._lock:
            return self._running.get(deployment)

    def stop(self, deployment: Deployment) -> None:
        """Let a container finish what it answers, and end."""
        with self._lock:
            container = self._running.pop(deployment, None)
            if container is not None:
                self._ending.append(container)
                container.stop()

    def kill_all(self) -> None:
        """End every container at once."""
        with self._lock:
            containers = [*self._running.values(), *self._ending]
        for container in containers:
            container.kill()
