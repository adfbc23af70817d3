"""Looks whether each image that a run pulls is in its registry, by the very tag."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import quote

from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.vertex.planning.google_apis import GoogleApis
from kfp_llm_tuning.pipelines.vertex.planning.run_needs import ImageNeed, image_needs
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun

ARTIFACT_REGISTRY = "artifactregistry.googleapis.com"
_API = f"https://{ARTIFACT_REGISTRY}/v1"
_REFERENCE = r"(?P<package>[^:@]+)(:(?P<tag>[\w.-]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
_REPOSITORY = re.compile(
    rf"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/]+)/(?P<name>[^/]+)/{_REFERENCE}"
)
# Container Registry's hosts, which Artifact Registry serves: a repository of that name each.
_OLD_HOST = re.compile(
    rf"(?P<name>((?P<area>us|eu|asia)\.)?gcr\.io)/(?P<project>[^/]+)/{_REFERENCE}"
)
_OLD_LOCATIONS = {"eu": "europe", "asia": "asia"}


@dataclass(frozen=True)
class _Stored:
    """Where an Artifact Registry has an image.

    Attributes:
        repository: Full resource name.
        version: Full resource name of the tag, or of the version of a digest.
        need: What it is for.
    """

    repository: str
    version: str
    need: ImageNeed


def uses_artifact_registry(run: VertexRun) -> bool:
    """Tells whether any image comes from there."""
    return any(_stored(need) for need in image_needs(run))


def check_images(apis: GoogleApis, run: VertexRun) -> list[Check]:
    """Looks at each image that the run pulls."""
    needs = image_needs(run)
    stored = [found for need in needs if (found := _stored(need))]
    checks: list[Check] = []
    for repository, images in groupby(
        sorted(stored, key=lambda found: found.repository), key=lambda found: found.repository
    ):
        checks += _check_repository(apis, repository, list(images))
    others = [need.image for need in needs if not _stored(need)]
    if others:
        what = f"whether Vertex AI can pull them was not looked at: {', '.join(others)}."
        checks.append(Check("images", "unknown", what))
    return checks


def _check_repository(apis: GoogleApis, repository: str, images: list[_Stored]) -> Iterator[Check]:
    place = images[0].need.image.rpartition("/")[0]
    fix = f"make images IMAGE_REGISTRY={place} PUSH=1"
    if apis.find(f"{_API}/{repository}", f"read the repository {repository}") is None:
        fix = f"Make it, and push the images: {fix}"
        yield Check("images", "problem", f"there is no repository {repository}.", fix)
        return
    there = []
    for stored in images:
        need = stored.need
        if apis.find(f"{_API}/{stored.version}", f"look for the image {need.image}") is not None:
            there.append(need.image.rpartition("/")[2])
        elif need.certain:
            what = f"there is no {need.image}, for {need.task}."
            yield Check("images", "problem", what, f"Push it: {fix}")
        else:
            what = (
                f"there is no {need.image}, which {need.task} may need: the model's weight tells."
            )
            yield Check("images", "warning", what, f"Push it: {fix}")
    if there:
        what = f"{repository} has {', '.join(there)}."
        grant = " A grant on it takes minutes to reach Vertex AI's service agent."
        yield Check("images", "ok", what + grant)


def _stored(need: ImageNeed) -> _Stored | None:
    """Finds the image's place in an Artifact Registry; None where it comes from elsewhere."""
    match = _REPOSITORY.fullmatch(need.image) or _OLD_HOST.fullmatch(need.image)
    if not match:
        return None
    parts = match.groupdict()
    location = parts.get("location") or _OLD_LOCATIONS.get(parts["area"] or "", "us")
    repository = f"projects/{parts['project']}/locations/{location}/repositories/{parts['name']}"
    package = f"{repository}/packages/{quote(parts['package'], safe='')}"
    if parts["digest"]:
        return _Stored(repository, f"{package}/versions/{parts['digest']}", need)
    return _Stored(repository, f"{package}/tags/{parts['tag'] or 'latest'}", need)
