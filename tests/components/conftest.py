"""What tests of several components share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vertex.local_vertex import LocalVertex, local_vertex


@pytest.fixture(scope="module")
def _vertex_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVertex]:
    with local_vertex(tmp_path_factory.mktemp("vertex")) as server:
        server.storage.create_bucket("bucket")
        yield server


@pytest.fixture
def vertex_server(_vertex_server: LocalVertex) -> LocalVertex:
    """A local Vertex AI that holds nothing, with the bucket ``bucket``; this process calls it."""
    for name in list(_vertex_server.store):
        if name in _vertex_server.store:
            _vertex_server.store.remove(name)
    _vertex_server.faults.clear()
    _vertex_server.requests.clear()
    return _vertex_server


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's clients wait between tries in no time, and think that it has passed."""
    from google.api_core.retry import retry_base, retry_unary

    clock = [0.0]

    class Time:
        @staticmethod
        def monotonic() -> float:
            return clock[0]

        @staticmethod
        def sleep(seconds: float) -> None:
            clock[0] += seconds

    monkeypatch.setattr(retry_base, "time", Time)
    monkeypatch.setattr(retry_unary, "time", Time)
