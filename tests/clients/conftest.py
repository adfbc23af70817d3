"""What every test here needs: clients in their own environments, and a local Vertex AI for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest

from tests.clients.data import write_data
from tests.clients.running import CHAT_TEMPLATE, TEXT_TEMPLATE
from tests.vertex.local_vertex import LocalVertex
from tests.vertex.stand_in_models import stand_in_models

# Where the published templates were kept; requests that name them run ours.
_PUBLISHED = "https://us-kfp.pkg.dev/ml-pipeline/large-language-model-pipelines"
StartVertex = Callable[..., AbstractContextManager[LocalVertex]]


@pytest.fixture(scope="session")
def start_vertex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartVertex]:
    """Gives a function that starts a local Vertex AI with example data in gs://staging."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stand_in_models(tmp_path_factory.mktemp("models")).items():
            patch.setenv(name, value)

        @contextmanager
        def start(execute: bool = False) -> Iterator[LocalVertex]:
            # Not local_vertex(): this process is to stay as it is, only clients are redirected.
            with closing(LocalVertex(tmp_path_factory.mktemp("vertex"), execute)) as vertex:
                for template in (TEXT_TEMPLATE, CHAT_TEMPLATE):
                    vertex.templates[f"{_PUBLISHED}/{template.stem}"] = template
                write_data(vertex.storage.create_bucket("staging"))
                yield vertex

        yield start
