"""The challenger is deployed only where it beats the champion."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from kfp_llm_tuning.pipelines.registries import deployed_version
from tests.examples.conftest import ExampleRun, Place


def challenge(place: Place, train_steps: int) -> ExampleRun:
    data = {
        "dataset_uri": place.data("train", 40),
        "evaluation_data_uri": place.data("evaluation", 10),
    }
    done = place.run("champion_challenger", {**data, "metric": "loss", "train_steps": train_steps})
    assert done.exit_code == 0, done.printed
    return done


def deployed(place: Place) -> int:
    version = deployed_version(place.registry_uri, "support-router")
    assert version is not None
    return version.version


@pytest.mark.slow
def test_the_first_challenger_must_beat_the_base_model(place: Place) -> None:
    done = challenge(place, 4)
    assert "support-router has no champion" in done.log("find-champion")
    assert "is-better-2" in done.tasks
    assert "is-better" not in done.tasks
    assert deployed(place) == 1


@pytest.mark.slow
def test_a_worse_challenger_is_registered_and_a_better_one_deployed(place: Place) -> None:
    challenge(place, 8)
    worse = challenge(place, 1)
    assert "The champion is models/support-router@1" in worse.log("find-champion")
    assert "worse" in worse.log("is-better")
    assert "Registered as models/support-router@2" in worse.printed
    assert deployed(place) == 1
    challenge(place, 24)
    assert deployed(place) == 3


@pytest.mark.parametrize(
    ("metric", "before", "now", "verdict", "better", "clearly"),
    [
        ("loss", 2.0, 1.0, "better", True, True),
        ("loss", 1.0, 2.0, "worse", False, False),
        ("accuracy", 0.5, 0.6, "no clear difference", True, False),
        ("accuracy", 0.5, 0.5, "equal", False, False),
    ],
)
def test_what_is_better(
    tmp_path: Path,
    load,
    metric: str,
    before: float,
    now: float,
    verdict: str,
    better: bool,
    clearly: bool,
) -> None:
    found = {"metrics": {metric: {"base": before, "tuned": now, "verdict": verdict}}}
    (tmp_path / "evaluation.json").write_text(json.dumps(found))
    is_better = load("champion_challenger").is_better.python_func
    evaluation = SimpleNamespace(path=str(tmp_path))
    assert is_better(evaluation, metric, False) is better
    assert is_better(evaluation, metric, True) is clearly
