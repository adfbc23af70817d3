"""What stands in a component's signature once more, for kfp copies its source, is the table's."""

from __future__ import annotations

import dataclasses

import pytest

from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.pipelines.graphs.parts import OURS

# What the encoders' limits depend on: they are told GPU or TPU, where the root input may be empty.
OTHER_DEFAULTS = {
    ("dataset_encoder", "accelerator_type"),
    ("evaluation_dataset_encoder", "accelerator_type"),
}


@pytest.mark.parametrize("part", [field.name for field in dataclasses.fields(OURS)])
def test_a_default_is_the_tables(part: str) -> None:
    inputs = getattr(OURS, part).component_spec.inputs or {}
    differing = {
        (part, name)
        for name, given in inputs.items()
        if name in TEXT and given.optional and not TEXT[name].required
        if given.default != TEXT[name].default
    }
    assert differing <= OTHER_DEFAULTS, differing
