"""The steps of the tuning graph, which a graph of one's own may add in another order or number."""

from typing import Any, NamedTuple

from kfp import dsl

from kfp_llm_tuning.components.common import images
from kfp_llm_tuning.components.parameters.pipeline import RootInputs as Defaults
from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.graphs.platform import Platform, Role


def add_validation(platform: Platform, parts: Parts = OURS, **inputs: Any) -> dsl.PipelineTask:
    """Adds the task that checks parameters to the pipeline that is being built.

    Args:
        platform: Where the pipeline runs.
        parts: The components.
        **inputs: Inputs of validate-pipeline, but those that the platform gives.

    Returns:
        The task; ``decisions`` of the graphs give its outputs as their inputs.
    """
    validated = parts.validate_pipeline(**platform.facts, **inputs)
    # It looks at files, which change while their URIs do not.
    validated.set_caching_options(enable_caching=False)
    platform.equip(validated, Role.LIGHT)
    return validated


class Datasets(NamedTuple):
    """Outputs of the tasks that prepare both sets."""

    training_records: Any
    evaluation_records: Any
    train_dataset: Any
    evaluation_dataset: Any
    validation_report: Any


def add_datasets(
    platform: Platform,
    large_model_reference: Any,
    dataset_uri: Any,
    evaluation_data_uri: Any,
    dataset_name: Any = Defaults.dataset_name,
    default_context: Any = Defaults.default_context,
    train_steps: Any = Defaults.train_steps,
    strict: Any = Defaults.strict_validation,
    data_version: Any = "",
    regional_endpoint: Any = "",
    tuning_method: Any = Defaults.tuning_method,
    max_context_length: Any = Defaults.max_context_length,
    accelerator: Any = "GPU",
    tuner_arguments: Any = None,
    parts: Parts = OURS,
) -> Datasets:
    """Adds the tasks that check and encode both sets to the pipeline that is being built.

    Args:
        platform: Where they run.
        large_model_reference: As every input below, that of the graph: a value or an output.
        dataset_uri: Training set.
        evaluation_data_uri: Evaluation set; empty for none.
        dataset_name: Managed dataset, instead of dataset_uri.
        default_context: Context of conversations that have none.
        train_steps: Batches to train on.
        strict: Whether warnings refuse the training set.
        data_version: Changes where the data does.
        regional_endpoint: URL of Vertex AI in the managed dataset's region.
        tuning_method: Decides the limits with the two below.
        max_context_length: 8k, 32k, or empty.
        accelerator: TPU or GPU.
        tuner_arguments: Further arguments of the tuner; a batch_size in them decides the epochs.
        parts: The components.

    Returns:
        What add_tuner and the evaluation graph take.
    """
    limits = {
        "large_model_reference": large_model_reference,
        "tuning_method": tuning_method,
        "max_context_length": max_context_length,
        "accelerator_type": accelerator,
    }
    exported = parts.export_managed_dataset(
        dataset_name=dataset_name,
        dataset_uri=dataset_uri,
        regional_endpoint=regional_endpoint,
        export_directory=platform.export_directory,
    )
    exported.set_caching_options(platform.caches_own_run)
    training_uri = exported.outputs["export_location"]
    validated = parts.validate_dataset(
        dataset_uri=training_uri,
        evaluation_data_uri=evaluation_data_uri,
        default_context=default_context,
        train_steps=train_steps,
        strict=strict,
        data_version=data_version,
        tuner_arguments={} if tuner_arguments is None else tuner_arguments,
        **limits,
    )
    training = parts.preprocess_dataset(
        dataset_uri=training_uri,
        large_model_reference=large_model_reference,
        default_context=default_context,
        data_version=data_version,
    ).after(validated)
    evaluation = parts.preprocess_dataset(
        dataset_uri=evaluation_data_uri,
        large_model_reference=large_model_reference,
        default_context=default_context,
        data_version=data_version,
    ).after(validated)
    evaluation.set_display_name("preprocess-eval-dataset")
    encoded = parts.dataset_encoder(preprocessed=training.outputs["preprocessed"], **limits)
    evaluation_encoded = parts.evaluation_dataset_encoder(
        preprocessed=evaluation.outputs["preprocessed"], **limits
    )
    for task in (exported, validated, training, evaluation, encoded, evaluation_encoded):
        platform.equip(task, Role.LIGHT)
    return Datasets(
        training_records=training.outputs["preprocessed"],
        evaluation_records=evaluation.outputs["preprocessed"],
        train_dataset=encoded.outputs["encoded"],
        evaluation_dataset=evaluation_encoded.outputs["encoded"],
        validation_report=validated.outputs["report"],
    )


def add_tuner(
    platform: Platform,
    train_dataset: Any,
    evaluation_dataset: Any,
    checkpoint_directory: str | None = None,
    parts: Parts = OURS,
    **inputs: Any,
) -> dsl.PipelineTask:
    """Adds the tasks that tune one model on encoded sets to the pipeline that is being built.

    Args:
        platform: Where the tuner runs.
        train_dataset: Output of dataset-encoder.
        evaluation_dataset: Output of evaluation-dataset-encoder.
        checkpoint_directory: Where the tuner keeps its checkpoints: the platform's, which belongs
            to one model, unless another is given; empty: beside the saved model.
        parts: The components.
        **inputs: Further inputs of compose-params-for-model-tuner.

    Returns:
        The tuner's task, with the outputs saved_model and tensorboard_metrics.
    """
    datasets = {"train_dataset": train_dataset, "evaluation_dataset": evaluation_dataset}
    checkpoint_folder = ""
    if checkpoint_directory is None:
        checkpoint_directory = platform.checkpoint_directory
        checkpoint_folder = platform.checkpoint_folder
    composed = parts.compose_params_for_model_tuner(
        pipeline_region=platform.pipeline_region,
        network=platform.network,
        persistent_resource_id=platform.persistent_resource_id,
        checkpoint_directory=checkpoint_directory,
        image_registry=images.REGISTRY,
        **datasets,
        **inputs,
    )
    platform.equip(composed, Role.LIGHT)
    if platform.tunes_in_place:
        tuned = parts.large_language_model_tuner(
            payload=composed.outputs["payload"],
            checkpoint_directory=checkpoint_directory,
            checkpoint_folder=checkpoint_folder,
            **datasets,
        )
    else:
        tuned = parts.large_language_model_tuner_vertex(
            project=inputs["project"],
            location=composed.outputs["location"],
            payload_first_part=composed.outputs["payload_first_part"],
            payload_second_part=composed.outputs["payload_second_part"],
        )
    platform.equip(tuned, Role.TUNER)
    if platform.hold_volume:
        platform.hold_volume(tuned)
    return tuned
