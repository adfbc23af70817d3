"""Real containers for the tests that are marked ``containers``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.images.podman import ROOT, NoContainersError, Podman

# Images of the tests. podman looks for a name that begins so on this machine alone.
REGISTRY = "localhost/kfp-llm-tuning"
_CACHE = ROOT / "build" / "images"


@pytest.fixture(scope="session")
def build() -> ModuleType:
    """images/build.py, which is no part of the package."""
    file = ROOT / "images" / "build.py"
    spec = importlib.util.spec_from_file_location("build_images", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclass looks the module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def podman(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Podman]:
    """A podman that runs containers."""
    if "containers" not in request.config.getoption("-m"):
        pytest.skip("real containers: run by `make test-images`")
    _CACHE.mkdir(parents=True, exist_ok=True)
    try:
        found = Podman(tmp_path_factory.mktemp("podman"), _CACHE / "storage")
        found.find_runtime(found.base_image())
    except NoContainersError as error:
        pytest.skip(f"no container engine works here: {error}")
    yield found
    found.clean()


def _built(build: ModuleType, podman: Podman, kind: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHON_IMAGE", podman.base_image())
        command = build.build_command("podman", kind, REGISTRY)
    # What has not changed since the last time comes from podman's cache.
    podman.build(command, _CACHE / f"{kind}.log")
    return build.image_name(kind, REGISTRY)


@pytest.fixture(scope="session")
def python_image(build: ModuleType, podman: Podman) -> str:
    """The image of every task."""
    return _built(build, podman, "python")


@pytest.fixture(scope="session")
def serving_image(build: ModuleType, podman: Podman) -> str:
    """The image of the prediction server."""
    return _built(build, podman, "serving")


@pytest.fixture(scope="session")
def docker_host(podman: Podman) -> Iterator[str]:
    """Where podman serves docker's API; DOCKER_HOST names it."""
    with podman.service() as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", host)
        yield host
