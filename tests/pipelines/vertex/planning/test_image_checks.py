"""Images by tag, by digest, of Container Registry's hosts, and of registries that are not asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings
from kfp_llm_tuning.pipelines.vertex.planning.image_checks import check_images
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun

DIGEST = f"sha256:{'0' * 64}"


def check(image: str, *missing: str) -> tuple[list[Check], list[str]]:
    asked: list[str] = []

    def find(url: str, _: str) -> dict[str, Any] | None:
        asked.append(url.removeprefix("https://artifactregistry.googleapis.com/v1/"))
        return None if any(word in url for word in missing) else {}

    executors = {"exec-own": {"container": {"image": image}}}
    spec = {"deploymentSpec": {"executors": executors}}
    run = VertexRun("tune-large-model", {}, None, JobSettings(), None, spec)
    apis: Any = SimpleNamespace(find=find)
    return check_images(apis, run), asked


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (
            "us-docker.pkg.dev/p/r/own:1",
            "projects/p/locations/us/repositories/r/packages/own/tags/1",
        ),
        (
            "europe-west4-docker.pkg.dev/p/r/team/own",
            "projects/p/locations/europe-west4/repositories/r/packages/team%2Fown/tags/latest",
        ),
        (
            f"us-docker.pkg.dev/p/r/own@{DIGEST}",
            f"projects/p/locations/us/repositories/r/packages/own/versions/{DIGEST}",
        ),
        ("gcr.io/p/own:1", "projects/p/locations/us/repositories/gcr.io/packages/own/tags/1"),
        (
            "eu.gcr.io/p/own:1",
            "projects/p/locations/europe/repositories/eu.gcr.io/packages/own/tags/1",
        ),
    ],
)
def test_an_image_is_looked_up_where_it_is(image: str, name: str) -> None:
    checks, asked = check(image)
    assert asked == [name.partition("/packages/")[0], name]
    assert [made.status for made in checks] == ["ok"]
    checks, _ = check(image, "/packages/")
    assert [made.status for made in checks] == ["problem"]
    assert image in checks[0].text and "for own" in checks[0].text


def test_a_registry_that_is_not_asked() -> None:
    checks, asked = check("docker.io/library/own:1")
    assert not asked
    assert [made.status for made in checks] == ["unknown"]
    assert "docker.io/library/own:1" in checks[0].text
