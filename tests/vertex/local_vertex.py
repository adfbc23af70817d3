"""A local Vertex AI for tests: REST, gRPC and Cloud Storage on loopback, over one state.

    with local_vertex(folder) as vertex:
        vertex.storage.create_bucket("bucket")
        aiplatform.PipelineJob(...).submit()  # this process is redirected
        vertex.finish(name, "SUCCEEDED")

See README.md for what it can do.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from tests.vertex import services
from tests.vertex.backend import Backend, LoggedRequest, Predictor
from tests.vertex.clock import Clock
from tests.vertex.faults import Faults
from tests.vertex.grpc_server import GrpcServer
from tests.vertex.project_facts import ProjectFacts
from tests.vertex.redirect import sitecustomize as redirect
from tests.vertex.rest import RestServer
from tests.vertex.runner_protocol import Event, State
from tests.vertex.services import custom_jobs, pipelines, schedules
from tests.vertex.storage import StorageServer
from tests.vertex.store import Store

_REDIRECT_FOLDER = Path(redirect.__file__).parent


class LocalVertex:
    """The servers and what tests may look at and change.

    Attributes:
        project: The project that clients use by default.
        project_number: Its number.
        location: The region that clients use by default.
        parent: The parent of resources in both.
        rest_url: The REST server.
        grpc_address: The gRPC server, host:port; see `certificate`.
        storage_url: The Cloud Storage server.
        storage: Cloud Storage: `create_bucket(name)`; `storage_folder`/bucket/object are files.
        storage_folder: The folder of the buckets.
        certificate: The file of the certificate that gRPC clients must trust.
    """

    project = "test-project"
    project_number = "1234"
    location = "us-central1"
    parent = f"projects/{project}/locations/{location}"

    def __init__(
        self, folder: Path, execute: bool = False, rest_port: int = 0, grpc_port: int = 0
    ) -> None:
        """Start the servers.

        Args:
            folder: For buckets, runs and the certificate.
            execute: Run pipelines, custom jobs and deployed models for real, in processes of their
                own.
            rest_port: The REST server's port; 0 takes a free one.
            grpc_port: The gRPC server's port; 0 takes a free one.
        """
        services.register()
        folder.mkdir(parents=True, exist_ok=True)
        self.storage_folder = folder / "storage"
        self.storage_folder.mkdir(exist_ok=True)
        self.backend = Backend(folder / "runs", storage_folder=self.storage_folder)
        self.storage = StorageServer(self.storage_folder, self.backend.faults)
        schedules.attach(self.backend)
        self._rest = RestServer(self.backend, rest_port)
        self._grpc = GrpcServer(self.backend, folder, grpc_port)
        self.rest_url, self.grpc_address = self._rest.url, self._grpc.address
        self.storage_url, self.certificate = self.storage.url, self._grpc.certificate
        self.backend.environment = self.environment()
        self.backend.runner = importlib.import_module("tests.vertex.execution") if execute else None
        self._rest.start()
        self._grpc.start()

    def close(self) -> None:
        """Cancel what runs and stop the servers."""
        self.faults.stop()
        for handle in list(self.backend.handles.values()):
            handle.cancel()
            handle.wait(timeout=30)
        self._rest.stop()
        self._grpc.stop()
        self.backend.containers.kill_all()
        self.storage.close()

    @property
    def store(self) -> Store:
        """All resources by name."""
        return self.backend.store

    @property
    def faults(self) -> Faults:
        """Faults to inject."""
        return self.backend.faults

    @property
    def clock(self) -> Clock:
        """The server's time."""
        return self.backend.clock

    @property
    def requests(self) -> list[LoggedRequest]:
        """Every call so far."""
        return self.backend.requests

    @property
    def project_facts(self) -> ProjectFacts:
        """What the APIs about projects answer."""
        return self.backend.project_facts

    @property
    def templates(self) -> dict[str, Path]:
        """The compiled template for each templateUri."""
        return self.backend.templates

    def predict_with(self, predictor: Predictor | None) -> None:
        """Answer predictions with a function of the model's REST body, instances and parameters.

        Models that are deployed while there is one need no container.

        Args:
            predictor: The function; None lets the deployed models answer again.
        """
        self.backend.predictor = predictor

    def finish(self, name: str, state: State = "SUCCEEDED", error: str = "") -> None:
        """End a pipeline or custom job that nothing runs.

        Args:
            name: Its resource name, or the id of a pipeline job.
            state: SUCCEEDED, FAILED or CANCELLED.
            error: Why it failed.
        """
        self.report(name, Event((), state, error=error))

    def report(self, name: str, event: Event) -> None:
        """Let something happen in a pipeline or custom job that nothing runs.

        Args:
            name: Its resource name, or the id of a pipeline job.
            event: What happens.

        Raises:
            KeyError: there is no such job.
        """
        names = [known for known in self.store if name in (known, known.rsplit("/", 1)[-1])]
        jobs = [known for known in names if "/pipelineJobs/" in known or "/customJobs/" in known]
        if not jobs:
            raise KeyError(name)
        is_pipeline = "/pipelineJobs/" in jobs[0]
        service = pipelines if is_pipeline else custom_jobs
        service.report(self.backend, jobs[0], event)

    def resources(self, collection: str) -> list[dict[str, Any]]:
        """The resources of a collection, such as models, in every region, as their REST bodies."""
        found = self.store.of_collection(collection)
        return [json_format.MessageToDict(resource) for resource in found]

    def environment(self) -> dict[str, str]:
        """The variables that redirect a process, of any language, to this server."""
        paths = [str(_REDIRECT_FOLDER), os.environ.get("PYTHONPATH", "")]
        unique = dict.fromkeys(part for path in paths for part in path.split(os.pathsep) if part)
        return {
            redirect.REST_VARIABLE: self.rest_url,
            redirect.GRPC_VARIABLE: self.grpc_address,
            redirect.CERTIFICATE_VARIABLE: str(self.certificate.resolve()),
            redirect.STORAGE_FOLDER_VARIABLE: str(self.storage_folder.resolve()),
            redirect.STORAGE_URL_VARIABLE: self.storage_url,
            redirect.PROJECT_VARIABLE: self.project,
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(self.certificate.resolve()),
            "NO_GCE_CHECK": "true",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "PYTHONPATH": os.pathsep.join(unique),
        }

    @contextmanager
    def redirected(self) -> Iterator[None]:
        """Redirect this process, and those that it starts, for a while."""
        before = dict(os.environ)
        os.environ.update(self.environment())
        redirect.apply()
        try:
            yield
        finally:
            redirect.undo()
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def local_vertex(folder: Path, execute: bool = False) -> Iterator[LocalVertex]:
    """Run a local Vertex AI and redirect this process to it.

    Args:
        folder: For its files.
        execute: Run pipelines, custom jobs and deployed models for real.

    Yields:
        The running servers.
    """
    vertex = LocalVertex(folder, execute)
    try:
        with vertex.redirected():
            yield vertex
    finally:
        vertex.close()
