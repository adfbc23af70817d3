"""KFP interface of the check of a pipeline's parameters."""

from typing import NamedTuple

from kfp import dsl

from kfp_llm_tuning.components.common.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def validate_pipeline(
    model: str,
    model_display_name: str,
    accelerator_type: str = "",
    api_endpoint: str = "aiplatform.googleapis.com/ui",
    encryption_spec_key_name: str = "",
    evaluation_data_uri: str = "",
    evaluation_fraction: float = 0.0,
    evaluation_output_root_dir: str = "",
    location: str = "",
    pipeline_region: str = "",
    tensorboard_resource_id: str = "",
    tpu_training_skip_cmek: bool = False,
    tuning_method: str = "tune_v2",
    project: str = "",
    dataset_uri: str = "",
    dataset_name: str = "",
    default_context: str = "",
    evaluation_interval: int = 20,
    enable_early_stopping: bool = True,
    enable_checkpoint_selection: str = "default",
    train_steps: int = 300,
    epochs: float = 0.0,
    learning_rate: float = -1.0,
    learning_rate_multiplier: float = 1.0,
    max_context_length: str = "",
    seed: int = 0,
    tuning_machine: str = "",
    tuning_machine_count: int = 1,
    service_account: str = "",
    tuning_strategy: str = "",
    tuning_max_wait: str = "86400s",
    tuning_timeout: str = "604800s",
    restart_on_preemption: bool = True,
    network_attachment: str = "",
    parent_model: str = "",
    version_aliases: str = "",
    endpoint_resource_name: str = "",
    traffic_percentage: int = 100,
    deploy_model: bool = True,
    run_time: str = "",
    primary_metric: str = "",
    gate_metric: str = "",
    gate_threshold: float = 0.0,
    registry_uri: str = "",
    dataset_format: str = "",
    train_on: str = "all",
    # A plain dict: YAML keeps no types of entries. kfp copies the default as it is written.
    tuner_arguments: dict = {},  # type: ignore[type-arg]  # noqa: B006
    template: str = "tune-large-model",
    platform: str = "vertex",
    platform_registry_uri: str = "",
    platform_accelerator: str = "",
    platform_train_job: bool = False,
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs",
    adapter_training_location=str,
    model_display_name=str,
    model_at_version=str,
    model_dash_version=str,
    model_location=str,
    regional_endpoint=str,
    service_account=str,
    use_tpu=bool,
    tuning_accelerator=str,
    with_batch_prediction_and_evaluation=bool,
    with_tensorboard=bool,
    machine_spec=str,
    data_version=str,
    registry_uri=str,
):
    """Checks every parameter of the pipeline before anything is spent, all problems in one report.

    Args:
        model: The root input large_model_reference.
        model_display_name: Name of the tuned model and of its endpoint.
        accelerator_type: GPU; empty means the default of the pipeline's region. TPU, also as that
            default, is refused: nothing tunes on it.
        api_endpoint: Vertex AI endpoint without its region, or a whole URL.
        encryption_spec_key_name: Customer-managed encryption key.
        evaluation_data_uri: Evaluation data, as dataset_uri.
        evaluation_fraction: Share of the training data that is held out to evaluate on, in the
            place of evaluation_data_uri; what is nearly the same stays on one side.
        evaluation_output_root_dir: Where batch evaluation output goes.
        location: Region that the model is uploaded to; empty means the pipeline's.
        pipeline_region: Region that the pipeline runs in.
        tensorboard_resource_id: Vertex AI TensorBoard to upload to.
        tpu_training_skip_cmek: As published; has no effect, for nothing tunes on TPU.
        tuning_method: tune_v2, the legacy tune, or adapter or full to force one.
        project: Google Cloud project; any name on other platforms.
        dataset_uri: Training data: a file, a folder, a pattern, hf://org/name, or several.
        dataset_name: Vertex AI managed dataset, instead of dataset_uri.
        default_context: Context of chat examples that have none.
        evaluation_interval: Steps between two evaluations.
        enable_early_stopping: Stop when evaluations no longer get better.
        enable_checkpoint_selection: true, false or default.
        train_steps: Batches to train on.
        epochs: Passes over the training data, in the place of train_steps; 0 leaves it to these,
            a negative number to what is advised for the task found in the data.
        learning_rate: Negative means the one recommended for the model.
        learning_rate_multiplier: Multiplies the learning rate.
        max_context_length: 8k or 32k; empty means the model's own.
        seed: Seed of weights, order and dropout.
        tuning_machine: A name of machine_specs.yaml; empty means the accelerator's default.
        tuning_machine_count: Machines that share every batch.
        service_account: Account that the tuner runs as; empty means the platform's default.
        tuning_strategy: STANDARD, SPOT or FLEX_START; empty means STANDARD.
        tuning_max_wait: Longest wait for a machine of FLEX_START, such as 3600s.
        tuning_timeout: Longest time of tuning, such as 86400s.
        restart_on_preemption: Go on from the last checkpoint when the machine is taken away.
        network_attachment: Private Service Connect network attachment.
        parent_model: Registered model that gets a new version; empty means a new model.
        version_aliases: Aliases of the version, separated by commas.
        endpoint_resource_name: Endpoint to deploy to; empty means one of its own.
        traffic_percentage: Share of the endpoint's traffic, in percent.
        deploy_model: Deploy the registered model.
        run_time: When the run was created, ISO 8601; model_display_name may ask for its {date}.
        primary_metric: Metric that decides whether the model is good: a name, or module:function;
            empty means the task's own.
        gate_metric: Metric that decides on registration; empty means no gate.
        gate_threshold: Value that the gate metric must reach.
        registry_uri: MLflow tracking URI to register at; empty means the platform's own registry.
        dataset_format: Format of the rows of both sets; empty means that the rows tell.
        train_on: Which answers of a training conversation are learned: all or last.
        tuner_arguments: Further arguments of the tuner, such as batch_size and lora_rank, by name.
        template: tune-large-model or tune-large-chat-model.
        platform: local, kubeflow or vertex.
        platform_registry_uri: The platform's own registry, an MLflow tracking URI; empty where
            there is none, and on Vertex AI, whose own is the Model Registry.
        platform_accelerator: GPU or CPU where the pipeline is compiled for the tuner's
            machine; empty where it is chosen when the pipeline runs.
        platform_train_job: Whether the pipeline is compiled to tune in a TrainJob.

    Returns:
        adapter_training_location: Region that tuning runs in; empty where there are none.
        model_display_name: Name of the tuned model, with the run's date where it asks for it.
        model_at_version: The model as NAME@VERSION.
        model_dash_version: The model as NAME-VERSION: the value of the tuned model's label.
        model_location: Region that the model is uploaded to; empty where there are none.
        regional_endpoint: URL of Vertex AI in that region; empty on other platforms.
        service_account: Account that the tuner runs as.
        use_tpu: As published; false, for nothing tunes on TPU.
        tuning_accelerator: TPU or GPU: the column of the table of batch sizes and limits.
        with_batch_prediction_and_evaluation: Whether there is an evaluation set.
        with_tensorboard: Whether metrics are uploaded to a TensorBoard.
        machine_spec: The tuning machine, a JSON object; empty where the platform decides.
        data_version: Changes when dataset_uri or evaluation_data_uri is written, so that no cached
            result of former data is taken.
        registry_uri: Where the model is registered; empty for the Vertex AI Model Registry.
    """
    inputs = dict(locals())
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.tracking.tracked_task import tracked_task
    from kfp_llm_tuning.components.validation.pipeline_inputs import PipelineParameters
    from kfp_llm_tuning.components.validation.pipeline_parameters import validate_pipeline

    with (
        exit_on_error(),
        tracked_task(
            "validate-pipeline", registry_uri or platform_registry_uri, model_display_name, inputs
        ),
    ):
        reference = inputs.pop("model")
        settings = validate_pipeline(PipelineParameters(large_model_reference=reference, **inputs))
    return (
        settings.adapter_training_location,
        settings.model_display_name,
        settings.model_at_version,
        settings.model_dash_version,
        settings.model_location,
        settings.regional_endpoint,
        settings.service_account,
        settings.use_tpu,
        "TPU" if settings.use_tpu else "GPU",
        settings.with_batch_prediction_and_evaluation,
        settings.with_tensorboard,
        settings.machine.to_json() if settings.machine else "",
        settings.data_version,
        settings.registry_uri,
    )
