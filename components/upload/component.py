"""KFP interfaces of the registry: Vertex AI, or MLflow where `registry_uri` names one."""

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
    project: str = "",
    location: str = "",
    regional_endpoint: str = "",
    encryption_spec_key_name: str = "",
    registry_uri: str = "",
    upload_model: bool = True,
    upload_reason: str = "",
    labels: str = "",
    parent_model: str = "",
    version_aliases: str = "",
    serving_image: str = "",
    serving_gpu_image: str = "",
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs", model_resource_name=str, gcp_resources=str, saved_model_uri=str
):
    """Registers a tuned model: one version a run, however often it is repeated.

    Args:
        saved_model: The tuned model, a folder in Hugging Face layout.
        tensorboard_metrics: The tuner's event files and history.jsonl.
        evaluation: Folder with evaluation.json and report.html.
        validation_report: The report of validate-dataset.
        model_display_name: Name of the model; MLflow gets "-" for characters that it refuses.
        model_reference_name: The model reference that was tuned.
        run_id: Id of the pipeline run; a repeated upload of the same run makes nothing new.
        project: Project on Vertex AI.
        location: Region on Vertex AI.
        regional_endpoint: URL of Vertex AI in that region; empty for the region's own.
        encryption_spec_key_name: Customer-managed key that Vertex AI encrypts the model with.
        registry_uri: MLflow tracking URI; empty for the Vertex AI Model Registry.
        upload_model: Whether to register; false leaves both outputs empty.
        upload_reason: Why the model is or is not registered; written to the log.
        labels: Further labels of the version, a JSON object of strings; empty for none.
        parent_model: Vertex AI model that this becomes a version of: its id or resource name. An
            id that no model has yet becomes this one's. Empty for a model of its own.
        version_aliases: Aliases of the version on Vertex AI, separated by commas.
        serving_image: Image that serves the model on Vertex AI, where a machine without GPUs holds
            its weights.
        serving_gpu_image: Image that serves it where that takes a machine with GPUs.

    Returns:
        model_resource_name: ``projects/../models/ID@VERSION`` on Vertex AI, ``models/NAME@VERSION``
            in MLflow; empty where nothing was registered.
        gcp_resources: Google Cloud's record of the upload; empty without Vertex AI.
        saved_model_uri: Where the pipeline keeps the model, for what serves it from there; empty
            where nothing was registered.
    """
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.upload import platforms
    from kfp_llm_tuning.components.upload.tasks import UploadTask

    with exit_on_error():
        uploaded = platforms.upload(
            UploadTask(
                saved_model=Path(saved_model.path),
                saved_model_uri=saved_model.uri,
                tensorboard_metrics=Path(tensorboard_metrics.path),
                evaluation=Path(evaluation.path),
                validation_report=Path(validation_report.path),
                display_name=model_display_name,
                model_reference=model_reference_name,
                run_id=run_id,
                registry_uri=registry_uri,
                upload_model=upload_model,
                reason=upload_reason,
                labels=labels,
                project=project,
                location=location,
                regional_endpoint=regional_endpoint,
                encryption_key=encryption_spec_key_name,
                parent_model=parent_model,
                version_aliases=version_aliases,
                serving_image=serving_image,
                serving_gpu_image=serving_gpu_image,
            )
        )
    saved_model_uri = saved_model.uri if uploaded.model_resource_name else ""
    return uploaded.model_resource_name, uploaded.gcp_resources, saved_model_uri


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def create_endpoint_and_deploy_model(
    model_resource_name: str,
    display_name: str,
    project: str = "",
    location: str = "",
    regional_endpoint: str = "",
    encryption_spec_key_name: str = "",
    service_account: str = "",
    deploy_model: bool = True,
    registry_uri: str = "",
    run_id: str = "",
    model_reference_name: str = "",
    endpoint_resource_name: str = "",
    traffic_percentage: int = 100,
) -> NamedTuple(  # type: ignore[valid-type]
    "Outputs",
    endpoint_resource_name=str,
    create_endpoint_gcp_resources=str,
    deploy_model_gcp_resources=str,
):
    """Deploys a registered version: one endpoint and one deployment, however often it is repeated.

    Args:
        model_resource_name: Output of upload-llm-model; empty where nothing was registered.
        display_name: Name of the endpoint; in MLflow it is the model's.
        project: Project on Vertex AI.
        location: Region on Vertex AI.
        regional_endpoint: URL of Vertex AI in that region; empty for the region's own.
        encryption_spec_key_name: Customer-managed key that Vertex AI encrypts the endpoint with.
        service_account: Account that the served model runs as; empty for Vertex AI's own.
        deploy_model: Whether to deploy; false leaves every output empty.
        registry_uri: MLflow tracking URI; empty for Vertex AI.
        run_id: Id of the pipeline run; empty: a version is deployed once, whatever the run.
        model_reference_name: The model reference that was tuned; it tells the size, and so the
            machine, of a model that upload-llm-model did not label.
        endpoint_resource_name: Vertex AI endpoint to deploy to, its id or resource name; empty for
            one of its own.
        traffic_percentage: Share of that endpoint's requests that the model answers; the other
            models' shares shrink in proportion.

    Returns:
        endpoint_resource_name: ``projects/../endpoints/ID`` on Vertex AI,
            ``models:/NAME@deployed`` in MLflow; empty where nothing was deployed.
        create_endpoint_gcp_resources: Google Cloud's record of the endpoint; empty without Vertex
            AI.
        deploy_model_gcp_resources: Google Cloud's record of the deployment, likewise.
    """
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.upload import platforms
    from kfp_llm_tuning.components.upload.tasks import DeployTask

    with exit_on_error():
        deployed = platforms.deploy(
            DeployTask(
                model_resource_name=model_resource_name,
                display_name=display_name,
                registry_uri=registry_uri,
                deploy_model=deploy_model,
                run_id=run_id,
                model_reference=model_reference_name,
                project=project,
                location=location,
                regional_endpoint=regional_endpoint,
                encryption_key=encryption_spec_key_name,
                service_account=service_account,
                endpoint=endpoint_resource_name,
                traffic_percentage=traffic_percentage,
            )
        )
    return (
        deployed.endpoint_resource_name,
        deployed.create_endpoint_gcp_resources,
        deployed.deploy_model_gcp_resources,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tensorboard_uploader(
    project: str,
    location: str,
    tensorboard_id: str,
    metrics_directory_uri: Input[Artifact],
    experiment_name: str,
    registry_uri: str = "",
) -> NamedTuple("Outputs", tensorboard_uri=str):  # type: ignore[valid-type]
    """Uploads the tuner's curves to Vertex AI TensorBoard; elsewhere tells where they are.

    Args:
        project: Project of the TensorBoard.
        location: Region of the TensorBoard, which is the pipeline's.
        tensorboard_id: The TensorBoard: its id or resource name.
        metrics_directory_uri: The tuner's event files.
        experiment_name: Name of the experiment there.
        registry_uri: MLflow tracking URI on platforms that reach no Google Cloud; empty on
            Vertex AI.

    Returns:
        tensorboard_uri: Web address of the experiment; without Vertex AI the folder of event
            files, for ``tensorboard --logdir``.
    """
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.upload import platforms
    from kfp_llm_tuning.components.upload.tasks import CurvesTask

    with exit_on_error():
        tensorboard_uri = platforms.show_curves(
            CurvesTask(
                project=project,
                location=location,
                tensorboard=tensorboard_id,
                metrics_directory=Path(metrics_directory_uri.path),
                experiment_name=experiment_name,
                registry_uri=registry_uri,
            )
        )
    return (tensorboard_uri,)
