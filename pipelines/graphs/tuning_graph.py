"""From a dataset to a tuned model."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset

from kfp_llm_tuning.pipelines.graphs.inputs import (
    REQUIRED,
    names_read,
    pipeline_of,
    signature,
    taken,
)
from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.graphs.tuning_steps import (
    DATASET_INPUTS,
    add_datasets,
    add_tuner,
)


class TuningOutputs(NamedTuple):
    """What the graph gives to those after it."""

    saved_model: Artifact
    tensorboard_metrics: Artifact
    training_records: Dataset
    evaluation_records: Dataset
    validation_report: dsl.HTML


def tuning_graph(platform: Platform, parts: Parts = OURS) -> dsl.base_component.BaseComponent:
    """Builds the graph for a platform.

    Args:
        platform: Where the tuner runs.
        parts: The components of its tasks.

    Returns:
        The graph, to be called as one task of a pipeline.
    """
    names = {_ROOT_INPUTS.get(name, name) for name in DATASET_INPUTS | _TUNER_INPUTS}

    def graph(inputs: dict[str, Any]) -> TuningOutputs:
        sets = add_datasets(platform, parts=parts, **taken(DATASET_INPUTS, inputs, _ROOT_INPUTS))
        tuned = add_tuner(
            platform,
            train_dataset=sets.train_dataset,
            evaluation_dataset=sets.evaluation_dataset,
            parts=parts,
            tracking_uri=inputs["registry_uri"],
            **taken(_TUNER_INPUTS, inputs, _ROOT_INPUTS),
        )
        return TuningOutputs(
            saved_model=tuned.outputs["saved_model"],
            tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
            training_records=sets.training_records,
            evaluation_records=sets.evaluation_records,
            validation_report=sets.validation_report,
        )

    return pipeline_of(
        graph,
        signature(names, _OWN),
        TuningOutputs,
        name="tuning-graph",
        description="From a dataset to a tuned model.",
    )


def decisions(validated: dsl.PipelineTask) -> dict[str, Any]:
    """Gives what validate-pipeline decides, as inputs of the graph.

    Args:
        validated: The task of validate-pipeline.

    Returns:
        An output for each input.
    """
    outputs = {name: _OUTPUTS.get(name, name) for name in (*_OWN, "model_display_name")}
    return {
        name: validated.outputs[output]
        for name, output in outputs.items()
        if output in OURS.validate_pipeline.component_spec.outputs
    }


# What is no root input, or not as it is there: what validate-pipeline decides, and a project that
# only Vertex AI has.
_OWN: Mapping[str, Any] = {
    "large_model_reference": REQUIRED,
    "project": "",
    "data_version": "",
    "location": "",
    "regional_endpoint": "",
    "use_tpu": False,
    "accelerator": "GPU",
    "machine_spec": "",
    "service_account": "",
    "registry_uri": "",
}
# Where the table's names are not those of the steps.
_ROOT_INPUTS = {
    "strict": "strict_validation",
    "strategy": "tuning_strategy",
    "max_wait": "tuning_max_wait",
    "timeout": "tuning_timeout",
    "tensorboard": "tensorboard_resource_id",
    "tracking_uri": "registry_uri",
}
_TUNER_INPUTS = names_read(OURS.compose_params_for_model_tuner)
_OUTPUTS = {"accelerator": "tuning_accelerator", "location": "adapter_training_location"}
