"""Sends a process's calls to Google's APIs to a local Vertex AI instead.

Put this folder on PYTHONPATH: Python then imports this module at its start. Nothing happens unless
the variables of `LocalVertex.environment()` are set. Works with any version of the client
libraries, for it only bends what all of them use: `google.auth.default`, the gRPC channels of
google-api-core and the HTTP adapter of requests. Modules are patched when they are first imported,
so that the start of a process that uses none of them costs nothing.

It depends on nothing but Python: other virtual environments load it too.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import re
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

REST_VARIABLE = "LOCAL_VERTEX_REST"
GRPC_VARIABLE = "LOCAL_VERTEX_GRPC"
CERTIFICATE_VARIABLE = "LOCAL_VERTEX_CERTIFICATE"
STORAGE_FOLDER_VARIABLE = "LOCAL_VERTEX_STORAGE_FOLDER"
STORAGE_URL_VARIABLE = "STORAGE_EMULATOR_HOST"
PROJECT_VARIABLE = "GOOGLE_CLOUD_PROJECT"

# Tells the local server which API and region a call was meant for; see tests/vertex/rest.py.
HOST_HEADER = "X-Local-Vertex-Host"
_GOOGLE_HOST = re.compile(r"(?:[\w-]+\.)*(?:googleapis\.com|prediction\.vertexai\.goog)")
_POLLING_SECONDS = 0.2

Patch = Callable[[ModuleType], None]
_originals: list[tuple[Any, str, Any]] = []


def apply() -> None:
    """Redirect this process; modules imported later too."""
    for name, patch in _PATCHES.items():
        if name in sys.modules:
            patch(sys.modules[name])
    if not any(isinstance(finder, _PatchingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _PatchingFinder())


def undo() -> None:
    """Take everything back that `apply` changed in this process."""
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _PatchingFinder)]
    while _originals:
        owner, name, value = _originals.pop()
        setattr(owner, name, value)
    _forget_file_systems()


def _replace(owner: Any, name: str, value: Any) -> None:
    if any(known is owner and of == name for known, of, _ in _originals):
        return
    _originals.append((owner, name, getattr(owner, name)))
    setattr(owner, name, value)


class _PatchingFinder(importlib.abc.MetaPathFinder):
    """Finds modules as ever, but patches those of `_PATCHES` once they are loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        patch = _PATCHES.get(name)
        if patch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        loader = spec.loader
        load = loader.exec_module

        def load_and_patch(module: ModuleType) -> None:
            load(module)
            patch(module)

        loader.exec_module = load_and_patch  # type: ignore[method-assign]
        return spec


def _patch_auth(module: ModuleType) -> None:
    def default(*_: Any, **__: Any) -> tuple[Any, str]:
        from google.oauth2.credentials import Credentials

        credentials: Any = Credentials(token="local-vertex")  # type: ignore[no-untyped-call]
        return credentials, os.environ[PROJECT_VARIABLE]

    _replace(module, "default", default)


def _patch_grpc(module: ModuleType) -> None:
    """Connect to the local server, with its certificate, whatever Google host is asked for."""
    create = module.create_channel

    def create_channel(target: str, *arguments: Any, **options: Any) -> Any:
        host = target.rsplit(":", 1)[0]
        if not _GOOGLE_HOST.fullmatch(host):
            return create(target, *arguments, **options)
        import grpc

        with open(os.environ[CERTIFICATE_VARIABLE], "rb") as file:  # noqa: PTH123  kept light
            options["ssl_credentials"] = grpc.ssl_channel_credentials(file.read())
        channel = create(os.environ[GRPC_VARIABLE], *arguments, **options)
        if module.__name__.endswith("_async"):
            return channel
        return grpc.intercept_channel(channel, _host_interceptor(host))

    _replace(module, "create_channel", create_channel)


def _host_interceptor(host: str) -> Any:
    import grpc

    class HostInterceptor(grpc.UnaryUnaryClientInterceptor):
        """Adds the host that a call was meant for to its metadata."""

        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            metadata = [*(details.metadata or ()), (HOST_HEADER.lower(), host)]
            return continuation(details._replace(metadata=metadata), request)

    return HostInterceptor()


def _patch_requests(module: ModuleType) -> None:
    """Send every request for a Google host to the local servers."""
    adapter = module.HTTPAdapter
    send = adapter.send

    def redirected_send(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
        url = urlsplit(request.url)
        if _GOOGLE_HOST.fullmatch(url.hostname or ""):
            is_storage = url.hostname == "storage.googleapis.com"
            target = os.environ[STORAGE_URL_VARIABLE if is_storage else REST_VARIABLE]
            request.headers[HOST_HEADER] = url.hostname
            request.url = urlunsplit((*urlsplit(target)[:2], *url[2:]))
        return send(self, request, *arguments, **options)

    _replace(adapter, "send", redirected_send)


def _patch_mount(module: ModuleType) -> None:
    """Let kfp find objects in the storage's folder instead of the mount /gcs/."""
    folder = os.environ[STORAGE_FOLDER_VARIABLE].rstrip("/")
    _replace(module, "_GCS_LOCAL_MOUNT_PREFIX", f"{folder}/")


def _patch_gcsfs(module: ModuleType) -> None:
    """Use the file system that needs no gRPC, even if gcsfs was imported before the redirection."""
    _replace(module, "GCSFileSystem", module.core.GCSFileSystem)
    _forget_file_systems()


def _shorten(name: str) -> Patch:
    """Let a module look at the server more often than every 5 or 20 seconds."""
    return lambda module: _replace(module, name, _POLLING_SECONDS)


_LAUNCHERS = "google_cloud_pipeline_components.container.v1"
_PATCHES: dict[str, Patch] = {
    "google.auth._default": _patch_auth,
    "google.auth": _patch_auth,
    "google.api_core.grpc_helpers": _patch_grpc,
    "google.api_core.grpc_helpers_async": _patch_grpc,
    "requests.adapters": _patch_requests,
    "gcsfs": _patch_gcsfs,
    "kfp.dsl.types.artifact_types": _patch_mount,
    f"{_LAUNCHERS}.gcp_launcher.job_remote_runner": _shorten("_POLLING_INTERVAL_IN_SECONDS"),
    f"{_LAUNCHERS}.gcp_launcher.lro_remote_runner": _shorten("_POLLING_INTERVAL_IN_SECONDS"),
    f"{_LAUNCHERS}.gcp_launcher.pipeline_remote_runner": _shorten("_POLLING_INTERVAL_IN_SECONDS"),
    f"{_LAUNCHERS}.wait_gcp_resources.remote_runner": _shorten("_POLLING_INTERVAL_IN_SECONDS"),
    "kfp_llm_tuning.components.common.custom_jobs": _shorten("_LATE_SECONDS"),
    "google.cloud.aiplatform.jobs": _shorten("_JOB_WAIT_TIME"),
    "google.cloud.aiplatform.pipeline_jobs": _shorten("_JOB_WAIT_TIME"),
    "google.cloud.aiplatform.training_jobs": _shorten("_JOB_WAIT_TIME"),
}


def _forget_file_systems() -> None:
    """Forget file systems that gcsfs and fsspec keep, with the address of their beginning."""
    if "gcsfs" in sys.modules:
        sys.modules["gcsfs"].core.GCSFileSystem.clear_instance_cache()
    if "fsspec.registry" in sys.modules:
        for protocol in ("gs", "gcs"):
            sys.modules["fsspec.registry"]._registry.pop(protocol, None)


if REST_VARIABLE in os.environ:
    apply()
