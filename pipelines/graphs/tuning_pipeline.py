"""What both templates are made of: validate, tune, evaluate, deploy."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kfp import dsl

from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.parameters.row import Parameter
from kfp_llm_tuning.pipelines.graphs import deployment_graph, evaluation_graph, tuning_graph
from kfp_llm_tuning.pipelines.graphs.inputs import (
    REQUIRED,
    names_read,
    pipeline_of,
    signature,
    taken,
)
from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.graphs.platform import Platform, Role
from kfp_llm_tuning.pipelines.graphs.tuning_steps import add_validation


class PipelineOutputs(NamedTuple):
    """The root outputs of the published templates."""

    model_resource_name: str
    endpoint_resource_name: str


def tuning_pipeline(
    platform: Platform,
    name: str,
    description: str,
    parameters: Mapping[str, Parameter],
    parts: Parts = OURS,
) -> dsl.base_component.BaseComponent:
    """Builds a template's pipeline for a platform.

    Args:
        platform: What the pipeline is built for.
        name: The template's name.
        description: What the template is for, in one sentence.
        parameters: Its root inputs. The chat template lacks two of the text template's.
        parts: The components of its tasks.

    Returns:
        The pipeline, to be compiled or called.
    """
    # kfp builds no graph inside another's function.
    graphs = _Graphs(
        tuning_graph.tuning_graph(platform, parts),
        evaluation_graph.evaluation_graph(platform, parts),
        deployment_graph.deployment_graph(platform, parts),
    )

    return pipeline_of(
        lambda inputs: _compose(platform, graphs, parts, name, inputs),
        signature(set(parameters), _defaults(parameters)),
        PipelineOutputs,
        name=name,
        description=description,
        documentation=_docstring(description, parameters),
    )


def _defaults(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Gives the template's own defaults, in the template's order."""
    return {
        name: REQUIRED if parameter.required else parameter.default
        for name, parameter in parameters.items()
    }


def _docstring(description: str, parameters: Mapping[str, Parameter]) -> str:
    lines = [f"    {parameter.name}: {parameter.help}" for parameter in parameters.values()]
    return "\n".join([description, "", "Args:", *lines])


class _Graphs(NamedTuple):
    tuning: dsl.base_component.BaseComponent
    evaluation: dsl.base_component.BaseComponent
    deployment: dsl.base_component.BaseComponent


def _compose(
    platform: Platform, graphs: _Graphs, parts: Parts, template: str, inputs: dict[str, Any]
) -> PipelineOutputs:
    validated = add_validation(
        platform,
        parts,
        model=inputs["large_model_reference"],
        template=template,
        **{name: inputs[name] for name in inputs if name in _VALIDATED},
    )
    # The chat template lacks two inputs of the text template.
    inputs = {**{name: TEXT[name].default for name in TEXT if name not in inputs}, **inputs}
    tuned = graphs.tuning(
        **{**taken(names_read(graphs.tuning), inputs), **tuning_graph.decisions(validated)}
    )
    evaluated = graphs.evaluation(
        saved_model=tuned.outputs["saved_model"],
        tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
        training_records=tuned.outputs["training_records"],
        evaluation_records=tuned.outputs["evaluation_records"],
        accelerator=validated.outputs["tuning_accelerator"],
        **taken(names_read(graphs.evaluation), inputs),
    )
    with_tensorboard = validated.outputs["with_tensorboard"] == True  # noqa: E712 (kfp's condition)
    with dsl.If(with_tensorboard, name="tensorboard-uploader-condition"):
        uploader = parts.tensorboard_uploader(
            project=inputs["project"],
            location=platform.pipeline_region,
            tensorboard_id=inputs["tensorboard_resource_id"],
            metrics_directory_uri=tuned.outputs["tensorboard_metrics"],
            experiment_name=platform.experiment,
            # A TensorBoard is reached from Vertex AI, wherever the model is registered.
            registry_uri=validated.outputs["registry_uri"] if platform.tunes_in_place else "",
        )
        platform.equip(uploader, Role.LIGHT)
    deployed = graphs.deployment(
        saved_model=tuned.outputs["saved_model"],
        tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
        evaluation=evaluated.outputs["evaluation"],
        validation_report=tuned.outputs["validation_report"],
        upload_model=evaluated.outputs["gate_passed"],
        upload_reason=evaluated.outputs["gate_reason"],
        **{**taken(names_read(graphs.deployment), inputs), **deployment_graph.decisions(validated)},
    )
    return PipelineOutputs(
        model_resource_name=deployed.outputs["model_resource_name"],
        endpoint_resource_name=deployed.outputs["endpoint_resource_name"],
    )


# validate-pipeline checks every root input but the two that only say how to go on.
_VALIDATED = frozenset(OURS.validate_pipeline.component_spec.inputs)
