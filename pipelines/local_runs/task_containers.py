"""A task's container: what it prints is kept to the last line, and its exit code is its own.

The DockerRunner of kfp.local 2.17 has each container removed as it ends, and takes one that is gone
for one that succeeded: most tasks that fail pass for done, and what they printed last is lost
(https://github.com/kubeflow/pipelines/issues/13332). Here a container is removed only when all of
that is known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

# A shell that waits for the task's program is process 1, and lives to pass its exit code on: this
# reaches everything but process 1.
_TERMINATE_OTHERS = ("sh", "-c", "kill -TERM -1")


class TaskContainer:
    """A container at work; leaving its ``with`` statement removes it."""

    def __init__(
        self,
        client: Any,
        image: str,
        command: Sequence[str],
        volumes: Mapping[str, Any],
        **arguments: Any,
    ) -> None:
        """Starts the container; its image is pulled where the machine has none of that name.

        Args:
            client: A ``docker.DockerClient``.
            image: Name of the image.
            command: The task's command.
            volumes: Folders of this machine that the task sees.
            **arguments: Further arguments of the client's ``containers.create``.
        """
        import docker

        create = partial(
            client.containers.create, image, list(command), volumes=dict(volumes), **arguments
        )
        try:
            self._container = create()
        except docker.errors.ImageNotFound:
            client.images.pull(image)
            self._container = create()
        try:
            # Before it starts: logs that are followed sometimes do not end with a container that
            # ends at once (https://github.com/containers/podman/issues/11461).
            self._printed: Iterator[bytes] = self._container.attach(stream=True)
            self._container.start()
        except BaseException:
            self._container.remove(force=True)
            raise

    def __enter__(self) -> Self:
        """Gives the container itself."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Removes the container, at work or not."""
        self._container.remove(force=True)

    def lines(self) -> Iterator[str]:
        """Yields each line that is printed, with its end, until the container ends."""
        rest = b""
        for chunk in self._printed:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace") + "\n"
        if rest:
            yield rest.decode(errors="replace")

    def wait(self) -> int:
        """Waits for the container's end.

        Returns:
            Its exit code.
        """
        code: int = self._container.wait()["StatusCode"]
        return code

    def terminate(self) -> None:
        """Asks all processes of the container to end."""
        with self._of_own_client() as container:
            container.exec_run(_TERMINATE_OTHERS, user="0")
            container.kill(signal="SIGTERM")

    def kill(self) -> None:
        """Ends all processes of the container at once."""
        with self._of_own_client() as container:
            container.kill()

    @contextlib.contextmanager
    def _of_own_client(self) -> Iterator[Any]:
        # A signal's handler may have interrupted the other client anywhere.
        import docker

        with (
            contextlib.closing(docker.from_env()) as client,
            contextlib.suppress(
                docker.errors.APIError  # It has ended.
            ),
        ):
            yield client.containers.get(self._container.id)


def with_artifacts(outputs: Mapping[str, Any], executor_input: Any) -> dict[str, Any]:
    """Adds the artifacts of a container component: a program of its own does not list them.

    Kubeflow's backend takes them from what the task was given, kfp.local 2.17 from that list alone.

    Args:
        outputs: What kfp.local found.
        executor_input: What the task was given.

    Returns:
        All outputs of the task.
    """
    from kfp.local.executor_output_utils import artifact_list_to_dsl_artifact

    given = executor_input.outputs.artifacts
    missing = [name for name in given if name not in outputs and given[name].artifacts]
    return {
        **outputs,
        **{name: artifact_list_to_dsl_artifact(given[name], False) for name in missing},
    }
