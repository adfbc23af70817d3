"""Several learning rates side by side; only the best model is registered."""

from __future__ import annotations

import json

import pytest

from kfp_llm_tuning.pipelines.registries.registry import MlflowRegistry
from tests.examples.conftest import Place


@pytest.mark.slow
def test_the_best_of_the_loop_is_registered(place: Place) -> None:
    data = {
        "dataset_uri": place.data("train", 40),
        "evaluation_data_uri": place.data("evaluation", 10),
    }
    done = place.run("sweep", {**data, "multipliers": "[0.1, 2]", "train_steps": 4})
    assert done.exit_code == 0, done.printed
    assert done.tasks.count("large-language-model-tuner") == 2
    assert done.tasks.count("evaluate-model") == 2
    assert done.tasks.count("dataset-encoder") == 1
    losses = [
        json.loads(path.read_text(encoding="utf-8"))["metrics"]["loss"]["tuned"]
        for path in sorted(done.folder.glob("tasks/**/evaluation/evaluation.json"))
    ]
    assert len(losses) == 2
    (version,) = MlflowRegistry(place.registry_uri).list_versions({})
    assert version.metrics["tuned/loss"] == min(losses)
    # A larger rate learns more in four steps; each iteration had a rate of its own.
    assert version.parameters["parameters/learning_rate_multiplier"] == "2.0"
