"""From a dataset to a tuned model."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset

from kfp_llm_tuning.components.parameters.pipeline import RootInputs as Defaults
from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.graphs.tuning_steps import add_datasets, add_tuner


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

    @dsl.pipeline(name="tuning-graph", description="From a dataset to a tuned model.")
    def graph(
        model_display_name: str,
        large_model_reference: str,
        project: str = "",
        dataset_uri: str = Defaults.dataset_uri,
        dataset_name: str = Defaults.dataset_name,
        default_context: str = Defaults.default_context,
        evaluation_data_uri: str = Defaults.evaluation_data_uri,
        train_steps: int = Defaults.train_steps,
        learning_rate: float = Defaults.learning_rate,
        learning_rate_multiplier: float = Defaults.learning_rate_multiplier,
        evaluation_interval: int = Defaults.evaluation_interval,
        enable_early_stopping: bool = Defaults.enable_early_stopping,
        enable_checkpoint_selection: str = Defaults.enable_checkpoint_selection,
        tuning_method: str = Defaults.tuning_method,
        max_context_length: str = Defaults.max_context_length,
        seed: int = Defaults.seed,
        strict_validation: bool = Defaults.strict_validation,
        data_version: str = "",
        location: str = "",
        regional_endpoint: str = "",
        use_tpu: bool = False,
        accelerator: str = "GPU",
        machine_spec: str = "",
        service_account: str = "",
        encryption_spec_key_name: str = Defaults.encryption_spec_key_name,
        tpu_training_skip_cmek: bool = Defaults.tpu_training_skip_cmek,
        tuning_strategy: str = Defaults.tuning_strategy,
        tuning_max_wait: str = Defaults.tuning_max_wait,
        tuning_timeout: str = Defaults.tuning_timeout,
        restart_on_preemption: bool = Defaults.restart_on_preemption,
        network_attachment: str = Defaults.network_attachment,
        tensorboard_resource_id: str = Defaults.tensorboard_resource_id,
        tuner_arguments: dict[str, Any] = {},  # noqa: B006
    ) -> TuningOutputs:
        sets = add_datasets(
            platform,
            large_model_reference=large_model_reference,
            dataset_uri=dataset_uri,
            dataset_name=dataset_name,
            default_context=default_context,
            evaluation_data_uri=evaluation_data_uri,
            train_steps=train_steps,
            strict=strict_validation,
            data_version=data_version,
            regional_endpoint=regional_endpoint,
            tuning_method=tuning_method,
            max_context_length=max_context_length,
            accelerator=accelerator,
            tuner_arguments=tuner_arguments,
            parts=parts,
        )
        tuned = add_tuner(
            platform,
            train_dataset=sets.train_dataset,
            evaluation_dataset=sets.evaluation_dataset,
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
            use_tpu=use_tpu,
            project=project,
            machine_spec=machine_spec,
            service_account=service_account,
            network_attachment=network_attachment,
            encryption_spec_key_name=encryption_spec_key_name,
            tpu_training_skip_cmek=tpu_training_skip_cmek,
            strategy=tuning_strategy,
            max_wait=tuning_max_wait,
            timeout=tuning_timeout,
            restart_on_preemption=restart_on_preemption,
            tensorboard=tensorboard_resource_id,
            tuner_arguments=tuner_arguments,
            parts=parts,
        )
        return TuningOutputs(
            saved_model=tuned.outputs["saved_model"],
            tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
            training_records=sets.training_records,
            evaluation_records=sets.evaluation_records,
            validation_report=sets.validation_report,
        )

    return graph


def decisions(validated: dsl.PipelineTask) -> dict[str, Any]:
    """Gives what validate-pipeline decides, as inputs of the graph.

    Args:
        validated: The task of validate-pipeline.

    Returns:
        An output for each input.
    """
    names = {name: name for name in _DECIDED}
    names |= {"accelerator": "tuning_accelerator", "location": "adapter_training_location"}
    return {name: validated.outputs[output] for name, output in names.items()}


_DECIDED = (
    "regional_endpoint",
    "use_tpu",
    "machine_spec",
    "data_version",
    "service_account",
    "model_display_name",
)
