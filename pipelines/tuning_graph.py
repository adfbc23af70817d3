"""From a dataset to a tuned model."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset

from kfp_llm_tuning.components.common import images
from kfp_llm_tuning.components.dataset import (
    dataset_encoder,
    evaluation_dataset_encoder,
    export_managed_dataset,
    preprocess_dataset,
)
from kfp_llm_tuning.components.tuning import (
    compose_params_for_model_tuner,
    large_language_model_tuner,
    vertex_component,
)
from kfp_llm_tuning.components.validation import validate_dataset
from kfp_llm_tuning.pipelines.platforms import Platform


class TuningOutputs(NamedTuple):
    """What the graph gives to those after it."""

    saved_model: Artifact
    tensorboard_metrics: Artifact
    training_records: Dataset
    evaluation_records: Dataset
    validation_report: dsl.HTML


def tuning_graph(platform: Platform) -> dsl.base_component.BaseComponent:
    """Builds the graph for a platform.

    Args:
        platform: Where the tuner runs.

    Returns:
        The graph, to be called as one task of a pipeline.
    """

    @dsl.pipeline(name="tuning-graph", description="From a dataset to a tuned model.")
    def graph(
        project: str,
        model_display_name: str,
        large_model_reference: str,
        dataset_uri: str,
        dataset_name: str,
        default_context: str,
        evaluation_data_uri: str,
        train_steps: int,
        learning_rate: float,
        learning_rate_multiplier: float,
        evaluation_interval: int,
        enable_early_stopping: bool,
        enable_checkpoint_selection: str,
        tuning_method: str,
        max_context_length: str,
        seed: int,
        strict_validation: bool,
        data_version: str,
        location: str,
        regional_endpoint: str,
        use_tpu: bool,
        accelerator: str,
        machine_spec: str,
        service_account: str,
        encryption_spec_key_name: str,
        tpu_training_skip_cmek: bool,
        tuning_strategy: str,
        tuning_max_wait: str,
        tuning_timeout: str,
        restart_on_preemption: bool,
        network_attachment: str,
        tensorboard_resource_id: str,
    ) -> TuningOutputs:
        limits = {
            "large_model_reference": large_model_reference,
            "tuning_method": tuning_method,
            "max_context_length": max_context_length,
            "accelerator_type": accelerator,
        }
        exported = export_managed_dataset(
            dataset_name=dataset_name,
            dataset_uri=dataset_uri,
            regional_endpoint=regional_endpoint,
            export_directory=platform.export_directory,
        )
        exported.set_caching_options(platform.caches_own_run)
        training_uri = exported.outputs["export_location"]
        validated = validate_dataset(
            dataset_uri=training_uri,
            evaluation_data_uri=evaluation_data_uri,
            default_context=default_context,
            train_steps=train_steps,
            strict=strict_validation,
            data_version=data_version,
            **limits,
        )
        training = preprocess_dataset(
            dataset_uri=training_uri,
            large_model_reference=large_model_reference,
            default_context=default_context,
            data_version=data_version,
        ).after(validated)
        evaluation = preprocess_dataset(
            dataset_uri=evaluation_data_uri,
            large_model_reference=large_model_reference,
            default_context=default_context,
            data_version=data_version,
        ).after(validated)
        evaluation.set_display_name("preprocess-eval-dataset")
        encoded = dataset_encoder(preprocessed=training.outputs["preprocessed"], **limits)
        evaluation_encoded = evaluation_dataset_encoder(
            preprocessed=evaluation.outputs["preprocessed"], **limits
        )
        datasets = {
            "train_dataset": encoded.outputs["encoded"],
            "evaluation_dataset": evaluation_encoded.outputs["encoded"],
        }
        composed = compose_params_for_model_tuner(
            model_display_name=model_display_name,
            large_model_reference=large_model_reference,
            train_steps=train_steps,
            learning_rate=learning_rate,
            learning_rate_multiplier=learning_rate_multiplier,
            evaluation_interval=evaluation_interval,
            enable_early_stopping=enable_early_stopping,
            enable_checkpoint_selection=enable_checkpoint_selection,
            tuning_method=tuning_method,
            max_context_length=max_context_length,
            seed=seed,
            location=location,
            pipeline_region=platform.pipeline_region,
            use_tpu=use_tpu,
            project=project,
            machine_spec=machine_spec,
            service_account=service_account,
            network=platform.network,
            network_attachment=network_attachment,
            persistent_resource_id=platform.persistent_resource_id,
            encryption_spec_key_name=encryption_spec_key_name,
            tpu_training_skip_cmek=tpu_training_skip_cmek,
            strategy=tuning_strategy,
            max_wait=tuning_max_wait,
            timeout=tuning_timeout,
            restart_on_preemption=restart_on_preemption,
            tensorboard=tensorboard_resource_id,
            checkpoint_directory=platform.checkpoint_directory,
            image_registry=images.REGISTRY,
            **datasets,
        )
        if platform.tunes_in_place:
            tuned = large_language_model_tuner(
                payload=composed.outputs["payload"],
                checkpoint_directory=platform.checkpoint_directory,
                **datasets,
            )
        else:
            tuned = vertex_component.large_language_model_tuner(
                project=project,
                location=composed.outputs["location"],
                payload_first_part=composed.outputs["payload_first_part"],
                payload_second_part=composed.outputs["payload_second_part"],
            )
        return TuningOutputs(
            saved_model=tuned.outputs["saved_model"],
            tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
            training_records=training.outputs["preprocessed"],
            evaluation_records=evaluation.outputs["preprocessed"],
            validation_report=validated.outputs["report"],
        )

    return graph
