"""A run is to be resumed only where that can help."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.pipelines.local_runs.run_advice import advise

PARAMETERS = {"train_steps": 5, "dataset_uri": "/data/train.jsonl", "max_context_length": "8k"}


def advice(*problems: Problem) -> str:
    return " ".join(advise(problems, PARAMETERS, "RESUME"))


@pytest.mark.parametrize(
    "problems", [(), (Problem("is no JSON.", "/data/train.jsonl, line 3"),), (Problem("broken"),)]
)
def test_what_no_parameter_is_to_blame_for_is_resumed(problems: tuple[Problem, ...]) -> None:
    assert advice(*problems) == "Go on with: RESUME"


def test_a_parameter_that_names_a_place_may_be_mended_there() -> None:
    told = advice(Problem("is not there.", "dataset_uri"))
    assert "what --dataset-uri names is mended, go on with: RESUME" in told
    assert "another value of --dataset-uri begin a new run" in told


def test_a_parameter_at_fault_is_never_resumed() -> None:
    place, value = Problem("x", "dataset_uri"), Problem("y", "train_steps, max_context_length")
    told = advice(place, value)
    assert "RESUME" not in told
    assert "--train-steps, --max-context-length begin a new run, without --resume" in told
