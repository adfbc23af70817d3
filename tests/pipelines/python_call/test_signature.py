"""The call has every parameter of the table, where help and editors look for it."""

from __future__ import annotations

import inspect

from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.parameters.tuner import FURTHER_ARGUMENTS
from kfp_llm_tuning.pipelines import tune


def test_parameters_have_their_defaults_and_types() -> None:
    parameters = inspect.signature(tune).parameters
    assert list(parameters)[:3] == ["data", "large_model_reference", "evaluation"]
    assert parameters["train_steps"].default == TEXT["train_steps"].default
    assert parameters["train_steps"].annotation == "int"
    assert parameters.keys() >= FURTHER_ARGUMENTS.keys()
    assert "tensorboard_resource_id" not in parameters, "it has no effect on this machine"


def test_the_docstring_has_them_by_group() -> None:
    text = inspect.getdoc(tune) or ""
    assert text.index("  Tuning\n") < text.index("lora_rank (int)") < text.index("  Evaluation\n")
