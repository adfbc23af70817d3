"""What the three tasks of this stage are given and give, whatever the platform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class UploadTask:
    """One upload-llm-model.

    Attributes:
        saved_model: Folder of the tuned model, in Hugging Face layout.
        saved_model_uri: The same folder as the platform names it.
        tensorboard_metrics: The tuner's event files and history.jsonl.
        evaluation: Folder with evaluation.json and report.html.
        validation_report: The report of validate-dataset.
        display_name: What the user called the model.
        model_reference: What the user asked to tune.
        run_id: The pipeline run; uploads with the same one are the same upload.
        registry_uri: MLflow tracking URI; empty for Vertex AI.
        upload_model: Whether to register.
        reason: Why, or why not.
        labels: A JSON object: the user's labels.
        project: Project on Vertex AI.
        location: Region on Vertex AI.
        regional_endpoint: URL of Vertex AI in that region; empty for its own.
        encryption_key: Customer-managed key that Vertex AI encrypts with.
        parent_model: Model on Vertex AI that this becomes a version of.
        version_aliases: Aliases of the version on Vertex AI, separated by commas.
        serving_image: Image that serves the model on Vertex AI, on a machine without GPUs.
        serving_gpu_image: The one for a machine with GPUs.
    """

    saved_model: Path
    saved_model_uri: str
    tensorboard_metrics: Path
    evaluation: Path
    validation_report: Path
    display_name: str
    model_reference: str
    run_id: str
    registry_uri: str
    upload_model: bool = True
    reason: str = ""
    labels: str = ""
    project: str = ""
    location: str = ""
    regional_endpoint: str = ""
    encryption_key: str = ""
    parent_model: str = ""
    version_aliases: str = ""
    serving_image: str = ""
    serving_gpu_image: str = ""


@dataclass(frozen=True)
class Uploaded:
    """What an upload made.

    Attributes:
        model_resource_name: Of the version; empty where nothing was registered.
        gcp_resources: Google Cloud's record of it; empty where there is none.
    """

    model_resource_name: str = ""
    gcp_resources: str = ""


@dataclass(frozen=True)
class DeployTask:
    """One create-endpoint-and-deploy-model.

    Attributes:
        model_resource_name: Output of the upload; empty where nothing was registered.
        display_name: Name of the endpoint.
        registry_uri: MLflow tracking URI; empty for Vertex AI.
        deploy_model: Whether to deploy.
        run_id: The pipeline run; deployments of a model by the same one are the same deployment.
        model_reference: What the user asked to tune.
        project: Project on Vertex AI.
        location: Region on Vertex AI.
        regional_endpoint: URL of Vertex AI in that region; empty for its own.
        encryption_key: Customer-managed key that Vertex AI encrypts with.
        service_account: Account that the served model runs as on Vertex AI.
        endpoint: Endpoint on Vertex AI to deploy to; empty for a new one.
        traffic_percentage: Share of the endpoint's requests that the model answers.
    """

    model_resource_name: str
    display_name: str
    registry_uri: str
    deploy_model: bool = True
    run_id: str = ""
    model_reference: str = ""
    project: str = ""
    location: str = ""
    regional_endpoint: str = ""
    encryption_key: str = ""
    service_account: str = ""
    endpoint: str = ""
    traffic_percentage: int = 100


@dataclass(frozen=True)
class Deployed:
    """What a deployment made.

    Attributes:
        endpoint_resource_name: The endpoint; empty where nothing was deployed.
        create_endpoint_gcp_resources: Google Cloud's record of the endpoint.
        deploy_model_gcp_resources: Google Cloud's record of the deployment.
    """

    endpoint_resource_name: str = ""
    create_endpoint_gcp_resources: str = ""
    deploy_model_gcp_resources: str = ""


@dataclass(frozen=True)
class CurvesTask:
    """One tensorboard-uploader.

    Attributes:
        project: Project of the TensorBoard.
        location: Region of the TensorBoard.
        tensorboard: Its id or its whole resource name.
        metrics_directory: The tuner's event files.
        experiment_name: Name of the experiment there.
        registry_uri: MLflow tracking URI; empty for Vertex AI.
    """

    project: str
    location: str
    tensorboard: str
    metrics_directory: Path
    experiment_name: str
    registry_uri: str = ""
