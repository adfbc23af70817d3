"""KFP interfaces of the registry on the local platform."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Model

from kfp_llm_tuning.components.common.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def upload_llm_model(
    saved_model: Input[Model],
    tensorboard_metrics: Input[Artifact],
    evaluation: Input[Artifact],
    validation_report: Input[HTML],
    model_display_name: str,
    model_reference_name: str,
    run_id: str,
    registry_uri: str,
    upload_model: bool = True,
    upload_reason: str = "",
    labels: str = "",
) -> NamedTuple("Outputs", model_resource_name=str, gcp_resources=str):  # type: ignore[valid-type]
    """Registers a tuned model in MLflow: one run and one version, however often it is repeated.

    Args:
        saved_model: The tuned model, a folder in Hugging Face layout.
        tensorboard_metrics: The tuner's event files and history.jsonl.
        evaluation: Folder with evaluation.json and report.html.
        validation_report: The report of validate-dataset.
        model_display_name: Name of the model; characters that a registry refuses become "-".
        model_reference_name: The model reference that was tuned.
        run_id: Id of the pipeline run; a repeated upload of the same run makes nothing new.
        registry_uri: MLflow tracking URI, such as sqlite:///PATH/mlflow.db or a server.
        upload_model: Whether to register; false leaves both outputs empty.
        upload_reason: Why the model is or is not registered; written to the log.
        labels: Further labels of the version, a JSON object of strings; empty for none.

    Returns:
        model_resource_name: ``models/NAME@VERSION``; empty where nothing was registered.
        gcp_resources: Empty: no Google Cloud resource is made on this platform.
    """
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.upload.local_platform import upload

    with exit_on_error():
        model_resource_name = upload(
            saved_model=saved_model.path,
            tensorboard_metrics=tensorboard_metrics.path,
            evaluation=evaluation.path,
            validation_report=validation_report.path,
            display_name=model_display_name,
            model_reference=model_reference_name,
            run_id=run_id,
            registry_uri=registry_uri,
            upload_model=upload_model,
            reason=upload_reason,
            labels=labels,
        )
    return model_resource_name, ""


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def create_endpoint_and_deploy_model(
    model_resource_name: str,
    display_name: str,
    registry_uri: str,
    deploy_model: bool = True,
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs",
    endpoint_resource_name=str,
    create_endpoint_gcp_resources=str,
    deploy_model_gcp_resources=str,
):
    """Makes a registered version the deployed one: sets the alias ``deployed`` in MLflow.

    Args:
        model_resource_name: Output of upload-llm-model; empty where nothing was registered.
        display_name: Name of the endpoint, for the log: on this platform it is the model's.
        registry_uri: MLflow tracking URI.
        deploy_model: Whether to deploy; false leaves every output empty.

    Returns:
        endpoint_resource_name: ``models:/NAME@deployed``; empty where nothing was deployed.
        create_endpoint_gcp_resources: Empty: no Google Cloud resource is made on this platform.
        deploy_model_gcp_resources: Empty, likewise.
    """
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.upload.local_platform import deploy

    with exit_on_error():
        endpoint_resource_name = deploy(
            model_resource_name=model_resource_name,
            display_name=display_name,
            registry_uri=registry_uri,
            deploy_model=deploy_model,
        )
    return endpoint_resource_name, "", ""


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tensorboard_uploader(
    project: str,
    location: str,
    tensorboard_id: str,
    metrics_directory_uri: Input[Artifact],
    experiment_name: str,
) -> NamedTuple("Outputs", tensorboard_uri=str):  # type: ignore[valid-type]
    """Tells where the curves are: Vertex AI TensorBoard is not reached from the local platform.

    Args:
        project: Project of the TensorBoard.
        location: Region of the TensorBoard.
        tensorboard_id: Id of the TensorBoard that the curves were asked for in.
        metrics_directory_uri: The tuner's event files.
        experiment_name: Name of the experiment there.

    Returns:
        tensorboard_uri: The folder of event files, for ``tensorboard --logdir``.
    """
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.upload.local_platform import show_tensorboard

    with exit_on_error():
        tensorboard_uri = show_tensorboard(
            tensorboard=f"projects/{project}/locations/{location}/tensorboards/{tensorboard_id}",
            experiment_name=experiment_name,
            metrics_directory=metrics_directory_uri.path,
        )
    return (tensorboard_uri,)
