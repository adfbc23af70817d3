"""The steps of the tuning graph, which a graph of one's own may add in another order or number."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from kfp_llm_tuning.components.common import images
from kfp_llm_tuning.components.common.train_on import TrainOn
from kfp_llm_tuning.pipelines.graphs.inputs import names_read, taken
from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.graphs.platform import Platform, Role

# Of the components, what add_datasets calls otherwise, and what it gives by itself.
_ACCELERATOR = {"accelerator_type": "accelerator"}
DATASET_INPUTS = {
    _ACCELERATOR.get(name, name)
    for name in names_read(
        OURS.export_managed_dataset,
        OURS.validate_dataset,
        OURS.preprocess_dataset,
        OURS.dataset_encoder,
        OURS.evaluation_dataset_encoder,
    )
    if name not in ("preprocessed", "export_directory", "held_out_from")
}


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


def add_datasets(platform: Platform, parts: Parts = OURS, **inputs: Any) -> Datasets:
    """Adds the tasks that check and encode both sets to the pipeline that is being built.

    Args:
        platform: Where they run.
        parts: The components.
        **inputs: ``DATASET_INPUTS``, values or outputs: ``large_model_reference``,
            ``dataset_uri`` and ``evaluation_data_uri`` (empty for none), and any others.

    Returns:
        What add_tuner and the evaluation graph take.

    Raises:
        TypeError: For names that are no such inputs.
    """
    if unknown := inputs.keys() - DATASET_INPUTS:
        raise TypeError(f"add_datasets() has no inputs {', '.join(sorted(unknown))}.")

    def of(component: BaseComponent, **changed: Any) -> dict[str, Any]:
        return taken(names_read(component), {**inputs, **changed}, _ACCELERATOR)

    exported = parts.export_managed_dataset(
        export_directory=platform.export_directory, **of(OURS.export_managed_dataset)
    )
    exported.set_caching_options(platform.caches_own_run)
    training_uri = exported.outputs["export_location"]
    validated = parts.validate_dataset(**of(OURS.validate_dataset, dataset_uri=training_uri))
    training = parts.preprocess_dataset(
        **of(OURS.preprocess_dataset, dataset_uri=training_uri)
    ).after(validated)
    evaluation = parts.preprocess_dataset(
        held_out_from=training_uri,
        # Every answer is asked, whichever are learned.
        **of(
            OURS.preprocess_dataset,
            dataset_uri=inputs["evaluation_data_uri"],
            train_on=TrainOn.ALL.value,
        ),
    ).after(validated)
    evaluation.set_display_name("preprocess-eval-dataset")
    encoded = parts.dataset_encoder(
        preprocessed=training.outputs["preprocessed"], **of(OURS.dataset_encoder)
    )
    evaluation_encoded = parts.evaluation_dataset_encoder(
        preprocessed=evaluation.outputs["preprocessed"], **of(OURS.evaluation_dataset_encoder)
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
    tracking_uri: Any = "",
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
        tracking_uri: MLflow tracking URI where the run's curves are logged as they grow; empty
            for none. Where the tuner is a job of its own they are not.
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
            tracking_uri=tracking_uri,
            tuning_machine_count=inputs.get("tuning_machine_count", 1),
            train_job=platform.train_job,
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
