"""What both templates are made of: validate, tune, evaluate, deploy."""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from kfp import dsl

from kfp_llm_tuning.components.parameters.row import Parameter
from kfp_llm_tuning.pipelines.graphs import deployment_graph, evaluation_graph, tuning_graph
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

    def pipeline(*values: Any) -> PipelineOutputs:
        return _compose(platform, graphs, parts, name, dict(zip(parameters, values, strict=True)))

    # kfp takes a pipeline's inputs from its function's signature and docstring: both are written
    # from the table of parameters, so that names, types, defaults and help stand once.
    pipeline.__signature__ = _signature(parameters)  # type: ignore[attr-defined]
    pipeline.__doc__ = _docstring(description, parameters)
    return dsl.pipeline(name=name, description=description)(pipeline)


def _signature(parameters: Mapping[str, Parameter]) -> inspect.Signature:
    return inspect.Signature(
        [
            inspect.Parameter(
                parameter.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                annotation=parameter.type,
                default=inspect.Parameter.empty if parameter.required else parameter.default,
            )
            for parameter in parameters.values()
        ],
        return_annotation=PipelineOutputs,
    )


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
    max_context_length = inputs.get("max_context_length", "")
    tuned = graphs.tuning(
        max_context_length=max_context_length,
        **tuning_graph.decisions(validated),
        **{name: inputs[name] for name in _TUNED},
    )
    evaluated = graphs.evaluation(
        saved_model=tuned.outputs["saved_model"],
        tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
        training_records=tuned.outputs["training_records"],
        evaluation_records=tuned.outputs["evaluation_records"],
        large_model_reference=inputs["large_model_reference"],
        tuning_method=inputs["tuning_method"],
        max_context_length=max_context_length,
        accelerator=validated.outputs["tuning_accelerator"],
        gate_metric=inputs["gate_metric"],
        gate_threshold=inputs["gate_threshold"],
        evaluation_output_root_dir=inputs.get("evaluation_output_root_dir", ""),
        encryption_spec_key_name=inputs["encryption_spec_key_name"],
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
        **deployment_graph.decisions(validated),
        **{name: inputs[name] for name in _DEPLOYED},
    )
    return PipelineOutputs(
        model_resource_name=deployed.outputs["model_resource_name"],
        endpoint_resource_name=deployed.outputs["endpoint_resource_name"],
    )


_TUNED = (
    "project",
    "large_model_reference",
    "dataset_uri",
    "dataset_name",
    "default_context",
    "evaluation_data_uri",
    "train_steps",
    "learning_rate",
    "learning_rate_multiplier",
    "evaluation_interval",
    "enable_early_stopping",
    "enable_checkpoint_selection",
    "tuning_method",
    "seed",
    "strict_validation",
    "encryption_spec_key_name",
    "tpu_training_skip_cmek",
    "tuning_strategy",
    "tuning_max_wait",
    "tuning_timeout",
    "restart_on_preemption",
    "network_attachment",
    "tensorboard_resource_id",
    "tuner_arguments",
)
_DEPLOYED = (
    "project",
    "large_model_reference",
    "encryption_spec_key_name",
    "parent_model",
    "version_aliases",
    "deploy_model",
    "endpoint_resource_name",
    "traffic_percentage",
)
# validate-pipeline checks every root input but the two that only say how to go on.
_VALIDATED = frozenset(OURS.validate_pipeline.component_spec.inputs)
