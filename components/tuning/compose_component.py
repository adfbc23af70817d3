"""KFP interface of composing the tuner's job."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Input

from kfp_llm_tuning.components.common.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def compose_params_for_model_tuner(
    large_model_reference: str,
    train_dataset: Input[Dataset],
    evaluation_dataset: Input[Dataset],
    model_display_name: str = "",
    train_steps: int = 300,
    epochs: float = 0.0,
    learning_rate: float = -1.0,
    learning_rate_multiplier: float = 1.0,
    evaluation_interval: int = 20,
    enable_early_stopping: bool = True,
    enable_checkpoint_selection: str = "default",
    tuning_method: str = "tune_v2",
    max_context_length: str = "",
    seed: int = 0,
    location: str = "",
    pipeline_region: str = "",
    use_tpu: bool = False,
    machine_spec: str = "",
    tuning_machine_count: int = 1,
    image_registry: str = "",
    project: str = "",
    service_account: str = "",
    network: str = "",
    network_attachment: str = "",
    persistent_resource_id: str = "",
    encryption_spec_key_name: str = "",
    tpu_training_skip_cmek: bool = False,
    strategy: str = "",
    max_wait: str = "86400s",
    timeout: str = "604800s",
    restart_on_preemption: bool = True,
    tensorboard: str = "",
    checkpoint_directory: str = "",
    # A plain dict: YAML keeps no types of entries. kfp copies the default as it is written.
    tuner_arguments: dict = {},  # type: ignore[type-arg]  # noqa: B006
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs", location=str, payload=str, payload_first_part=str, payload_second_part=str
):
    """Composes the tuner's arguments from the model's defaults and the pipeline's inputs.

    Where a machine is given, composes the Vertex AI CustomJob as well that runs the tuner on it.

    Args:
        large_model_reference: What is tuned: a name of model_references.yaml, hf://, gs://, a path.
        train_dataset: Output of dataset-encoder.
        evaluation_dataset: Output of evaluation-dataset-encoder; its set may be empty.
        model_display_name: Name of the tuned model.
        train_steps: Batches to train on.
        epochs: Passes over the training data, in the place of train_steps; 0 leaves it to these,
            a negative number to what is advised for the task found in the data.
        learning_rate: Negative means the one recommended for the model.
        learning_rate_multiplier: Multiplies the learning rate.
        evaluation_interval: Steps between two evaluations over the whole evaluation set.
        enable_early_stopping: Stop when evaluations no longer get better.
        enable_checkpoint_selection: Keep the best step rather than the last: true, false, or
            default for the model's own.
        tuning_method: tune_v2, the legacy tune, or adapter or full to force one.
        max_context_length: 8k or 32k; empty means the model's own.
        seed: Seed of weights, order and dropout.
        location: Region that tuning runs in; empty means the pipeline's.
        pipeline_region: Region that the pipeline runs in; empty where there are none.
        use_tpu: As published; refused, for nothing tunes on TPU.
        machine_spec: The tuning machine, from validate-pipeline; empty where there are no jobs.
        tuning_machine_count: Machines of that kind that share every batch.
        image_registry: Where the tuner's images are; needed with a machine.
        project: Project that the tuner's Google clients work in.
        service_account: Account that the tuner runs as; empty means Vertex AI's own.
        network: VPC network that the job is peered with.
        network_attachment: Private Service Connect network attachment; replaces the network.
        persistent_resource_id: Machines kept for several jobs.
        encryption_spec_key_name: Customer-managed encryption key.
        tpu_training_skip_cmek: As published; has no effect, for nothing tunes on TPU.
        strategy: STANDARD, SPOT or FLEX_START; empty means STANDARD.
        max_wait: Longest wait for a machine of FLEX_START, such as 3600s.
        timeout: Longest time of tuning, such as 86400s.
        restart_on_preemption: Go on from the last checkpoint when the machine is taken away.
        tensorboard: Vertex AI TensorBoard that shows the curves while the job runs, where it is
            in the job's region.
        checkpoint_directory: URI of the checkpoints; empty puts them beside the saved model.
        tuner_arguments: Further arguments of the tuner, such as batch_size and lora_rank, by name;
            they take the place of the model's.

    Returns:
        location: Region that tuning runs in; empty where there are none.
        payload: The tuner's arguments, a JSON object.
        payload_first_part: The CustomJob as JSON, up to the URI of the saved model.
        payload_second_part: The same after the URI of the metrics; both empty without a machine.
    """
    inputs = dict(locals())
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.common.resource_paths import full_name
    from kfp_llm_tuning.components.models.machine_specs import MachineSpec
    from kfp_llm_tuning.components.tuning.compose import TuningRequest, compose
    from kfp_llm_tuning.components.tuning.custom_job import CustomJob

    with exit_on_error():
        request = TuningRequest.from_inputs(inputs)
        payload = compose(request, Path(train_dataset.path), Path(evaluation_dataset.path))
        job = CustomJob(
            machine=MachineSpec.from_json(machine_spec),
            machine_count=tuning_machine_count,
            image_registry=image_registry,
            payload=payload,
            train_dataset=train_dataset.uri,
            evaluation_dataset=evaluation_dataset.uri,
            checkpoints=checkpoint_directory,
            project=project,
            service_account=service_account,
            network=network,
            network_attachment=network_attachment,
            persistent_resource_id=persistent_resource_id,
            encryption_spec_key_name=encryption_spec_key_name,
            strategy=strategy.upper(),
            max_wait=max_wait,
            timeout=timeout,
            restart_on_preemption=restart_on_preemption,
            tensorboard=full_name(tensorboard, "tensorboards", project, pipeline_region),
            model_label=request.model_label,
        )
        first_part, second_part = job.payload_parts()
    return location or pipeline_region, payload, first_part, second_part
