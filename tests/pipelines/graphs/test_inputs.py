"""Inputs of graphs: from the table, handed over by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.pipelines.graphs.inputs import REQUIRED, signature, taken
from kfp_llm_tuning.pipelines.graphs.tuning_steps import add_datasets
from kfp_llm_tuning.pipelines.local_runs.platform import local_platform


def test_a_graph_takes_the_rows_that_are_read_and_its_own_inputs() -> None:
    found = signature({"seed", "project", "payload"}, {"machine_spec": "", "model": REQUIRED})
    assert [(one.name, one.annotation, one.default) for one in found] == [
        ("project", str, REQUIRED),
        ("model", str, REQUIRED),
        ("seed", int, 0),
        ("machine_spec", str, ""),
    ]


def test_inputs_are_handed_over_by_the_readers_names() -> None:
    inputs = {"strict_validation": True, "seed": 1, "other": 2}
    assert taken(["strict", "seed", "project"], inputs, {"strict": "strict_validation"}) == {
        "strict": True,
        "seed": 1,
    }


def test_a_misspelt_input_of_a_step_is_no_input(tmp_path: Path) -> None:
    platform = local_platform(tmp_path, "", {})
    with pytest.raises(TypeError, match="no inputs train_step"):
        add_datasets(platform, large_model_reference="byte-tiny", train_step=3)
