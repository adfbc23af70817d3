"""The published regions, their spelling, and the accelerator that follows from them."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.validation.regions import (
    accelerator,
    accelerator_problem,
    encryption_region,
    region_problem,
    regions,
)

PUBLISHED = {
    "us-central1",
    "europe-west4",
    "asia-southeast1",
    "us-west1",
    "europe-west3",
    "europe-west2",
    "asia-northeast1",
    "us-east4",
    "us-west4",
    "northamerica-northeast1",
    "europe-west9",
    "europe-west1",
    "asia-northeast3",
}


def test_the_published_regions() -> None:
    assert set(regions()) == PUBLISHED
    assert len(regions()) == 13
    assert encryption_region() == "us-central1"


@pytest.mark.parametrize("region", sorted(PUBLISHED))
def test_every_published_region_is_accepted(region: str) -> None:
    assert region_problem(region, "location") is None


@pytest.mark.parametrize(
    ("region", "nearest"),
    [("us-centrl1", "us-central1"), ("US-Central1", "us-central1"), ("europe-west44", "europe-")],
)
def test_a_misspelt_region_gets_the_nearest(region: str, nearest: str) -> None:
    problem = region_problem(region, "location")
    assert problem is not None
    assert problem.where == "location"
    assert f"Did you mean {nearest}" in problem.fix


def test_a_region_like_no_other() -> None:
    problem = region_problem("moon", "location")
    assert problem is not None
    assert problem.fix == ""


@pytest.mark.parametrize(
    ("given", "region", "expected"),
    [
        ("", "europe-west4", "TPU"),
        ("", "us-central1", "GPU"),
        ("tpu", "us-central1", "TPU"),
        ("Gpu", "europe-west4", "GPU"),
        ("GPU", "asia-northeast3", "GPU"),
    ],
)
def test_the_accelerator(given: str, region: str, expected: str) -> None:
    assert accelerator(given, region) == expected
    assert accelerator_problem(given, region) is None


def test_no_accelerator_follows_from_other_regions() -> None:
    for region in PUBLISHED - {"europe-west4", "us-central1"}:
        problem = accelerator_problem("", region)
        assert problem is not None
        assert problem.where == "accelerator_type"
        assert region in problem.what
        assert problem.allowed == "GPU (the default in us-central1)"


def test_an_unknown_accelerator() -> None:
    problem = accelerator_problem("CUDA", "us-central1")
    assert problem is not None
    assert "'CUDA' is unknown" in problem.what
