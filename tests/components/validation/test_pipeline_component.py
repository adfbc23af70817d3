"""The interface of validate-pipeline: the published outputs, the defaults."""

from __future__ import annotations

import json

from kfp_llm_tuning.components.validation.pipeline_inputs import PARAMETERS
from tests.components.validation.pipeline_requests import VERTEX


def test_the_component_gives_the_published_outputs() -> None:
    import fsspec

    from kfp_llm_tuning.components.validation import pipeline_component as component

    published = {
        "adapter_training_location",
        "model_at_version",
        "model_dash_version",
        "model_location",
        "regional_endpoint",
        "service_account",
        "use_tpu",
        "with_batch_prediction_and_evaluation",
        "with_tensorboard",
    }
    specification = component.validate_pipeline.component_spec
    assert published < set(specification.outputs)
    data = {"dataset_uri": "memory://data/t.jsonl", "evaluation_data_uri": "memory://data/e.jsonl"}
    for uri in data.values():
        with fsspec.open(uri, "wb") as stream:
            stream.write(b"{}")
    given = {**VERTEX, **data}
    given["model"] = given.pop("large_model_reference")
    values = component.validate_pipeline.python_func(**given)
    outputs = dict(zip(specification.outputs, values, strict=True))
    assert outputs["model_dash_version"] == "text-bison-002"
    assert outputs["with_batch_prediction_and_evaluation"] is True
    assert len(outputs["data_version"]) == 64
    assert json.loads(outputs["machine_spec"])["name"] == "a100-80gb-8"


def test_the_component_and_the_parameters_name_the_same_defaults() -> None:
    from kfp_llm_tuning.components.validation import pipeline_component as component

    inputs = dict(component.validate_pipeline.component_spec.inputs)
    # What validate-pipeline calls by its published short name, and what only says how to go on.
    inputs["large_model_reference"] = inputs.pop("model")
    assert set(PARAMETERS) - set(inputs) == {"strict_validation"}
    for name, entry in inputs.items():
        # A pipeline always says where it runs and what is tuned.
        if name not in ("large_model_reference", "model_display_name", "platform"):
            assert entry.default == PARAMETERS[name].default, name
