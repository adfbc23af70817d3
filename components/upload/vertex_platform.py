"""What the components do on Vertex AI: models, endpoints and curves, each made once a run."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.common.manifest import verify
from kfp_llm_tuning.components.common.primary_metric import TUNED
from kfp_llm_tuning.components.common.vertex import EnsuredResource, Vertex
from kfp_llm_tuning.components.common.wording import short
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.models.saved_model import read_provenance
from kfp_llm_tuning.components.upload import (
    labels,
    run_content,
    serving_container,
    serving_machines,
    smoke_prediction,
    vertex_endpoints,
    vertex_evaluations,
    vertex_models,
    vertex_names,
    vertex_tensorboard,
)
from kfp_llm_tuning.components.upload.tasks import (
    CurvesTask,
    Deployed,
    DeployTask,
    Uploaded,
    UploadTask,
)

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import DeployedModel, Endpoint, ModelContainerSpec

# Vertex AI Pipelines gives the labels of the run to its tasks in this variable.
RUN_LABELS_VARIABLE = "VERTEX_AI_PIPELINES_RUN_LABELS"
WEIGHTS_LABEL = "weights-megabytes"
# The serving container's variables: what was tuned, and what clients of OpenAI's API call it.
_REFERENCE_VARIABLE = "MODEL_REFERENCE"
_NAME_VARIABLE = "KFP_LLM_TUNING_SERVING_MODEL_NAME"

# What is left of a deployment whose model does not answer.
_UNDEPLOYED = (
    "The model was undeployed again; it stays registered, and the endpoint stays: the same task, "
    "run again, deploys it anew."
)

_logger = logging.getLogger(__name__)


def upload(task: UploadTask) -> Uploaded:
    """Registers the model in the Vertex AI Model Registry unless the gate has closed.

    Args:
        task: What to register, and where.

    Returns:
        ``projects/../models/ID@VERSION``; nothing where nothing was registered.

    Raises:
        UserError: If an input is wrong or Vertex AI refuses.
    """
    if not task.upload_model:
        _logger.warning("The model is not registered. %s", task.reason)
        return Uploaded()
    _check_upload(task)
    # The weights are in Cloud Storage, and read by nobody here: the server that loads them hashes.
    verify(task.saved_model, contents=False)
    vertex = Vertex(task.project, task.location, task.regional_endpoint)
    registered = vertex_models.register(vertex, _described(task))
    name = vertex_models.version_name(registered.resource)
    _logger.info("Registered as %s. %s", name, task.reason)
    _import_evaluation(vertex, task, name)
    return Uploaded(name, _gcp_resources(vertex, registered, "VertexModel", name))


def _import_evaluation(vertex: Vertex, task: UploadTask, version: str) -> None:
    evaluation = run_content.read_evaluation(task.evaluation)
    sides = run_content.sides(evaluation)
    if not sides[TUNED]:
        return
    primary = run_content.primary_metric(evaluation)
    name = primary.name if primary else ""
    try:
        vertex_evaluations.import_evaluation(vertex, version, task.run_id, sides, name)
    except UserError as error:
        # The figures stand in the report and in the model's description, too.
        _logger.warning("%s has no evaluation in the Model Registry: %s", version, error)


def deploy(task: DeployTask) -> Deployed:
    """Deploys a registered model to an endpoint of its own or to the one that is named.

    Args:
        task: What to deploy, and where.

    Returns:
        The endpoint; nothing where nothing was deployed.

    Raises:
        UserError: If an input is wrong, Vertex AI refuses, or the model does not answer: then it is
            undeployed again.
    """
    if not task.model_resource_name:
        _logger.warning("%s is not deployed: no model was registered.", task.display_name)
        return Deployed()
    if not task.deploy_model:
        _logger.warning("%s is not deployed: deploy_model is false.", task.display_name)
        return Deployed()
    _check_deployment(task)
    vertex = Vertex(task.project, task.location, task.regional_endpoint)
    model = vertex_models.read_version(vertex, task.model_resource_name)
    deployment = vertex_endpoints.Deployment(
        model=task.model_resource_name,
        display_name=task.display_name,
        key=task.run_id,
        machine=serving_machines.serving_machine(_weights(model.labels, task.model_reference)),
        traffic_percentage=task.traffic_percentage,
        service_account=task.service_account,
    )
    if task.endpoint:
        endpoint = EnsuredResource(vertex_endpoints.read_endpoint(vertex, task.endpoint))
    else:
        key = task.run_id or task.model_resource_name
        endpoint = vertex_endpoints.create_endpoint(
            vertex, task.display_name, key, model, task.encryption_key
        )
    name = endpoint.resource.name
    deployed = vertex_endpoints.deploy(vertex, name, deployment)
    _logger.info("%s is deployed to %s.", task.model_resource_name, name)
    _ask_or_undeploy(vertex, task, endpoint.resource, deployed)
    if task.endpoint:
        vertex_endpoints.tell_of_idle_models(vertex, name)
    return Deployed(
        name,
        _gcp_resources(vertex, endpoint, "VertexEndpoint", name),
        _gcp_resources(vertex, deployed, "VertexEndpoint", name),
    )


def show_curves(task: CurvesTask) -> str:
    """Uploads the tuner's curves to Vertex AI TensorBoard.

    Args:
        task: Which curves, and where to.

    Returns:
        The web address of the experiment.

    Raises:
        UserError: If there are no curves, or Vertex AI refuses.
    """
    vertex = Vertex(task.project, task.location)
    tensorboard = vertex_tensorboard.tensorboard_name(vertex, task.tensorboard)
    curves = vertex_tensorboard.read_curves(task.metrics_directory)
    address = vertex_tensorboard.upload_curves(vertex, tensorboard, task.experiment_name, curves)
    _logger.info("The curves are at %s.", address)
    return address


def run_labels() -> dict[str, str]:
    """Reads the labels that the pipeline run has.

    Returns:
        The labels; none where the variable is not set or holds something else.
    """
    text = os.environ.get(RUN_LABELS_VARIABLE, "")
    try:
        return labels.parse_labels(text)
    except UserError:
        _logger.warning("%s holds no labels: %s", RUN_LABELS_VARIABLE, short(text))
        return {}


def _check_upload(task: UploadTask) -> None:
    problems = _without_place(task.project, task.location)
    if not task.saved_model_uri.startswith("gs://"):
        problems.append(
            Problem(
                f"{task.saved_model_uri} is not in Cloud Storage.",
                "saved_model",
                "gs://BUCKET/FOLDER",
            )
        )
    if not task.run_id:
        problems.append(Problem("is empty.", "run_id", "the id of the pipeline run"))
    with collect(problems):
        _container(task)
    raise_all(problems)


def _check_deployment(task: DeployTask) -> None:
    problems = _without_place(task.project, task.location)
    if not 0 <= task.traffic_percentage <= 100:
        problems.append(
            Problem(f"{task.traffic_percentage} is no share.", "traffic_percentage", "0 to 100")
        )
    raise_all(problems)


def _ask_or_undeploy(
    vertex: Vertex, task: DeployTask, before: Endpoint, deployed: EnsuredResource[DeployedModel]
) -> None:
    """Asks the deployed model, and takes the deployment of this run back where it fails.

    Args:
        vertex: Where.
        task: What was deployed.
        before: The endpoint before that.
        deployed: The deployment.
    """
    identifier = deployed.resource.id
    deployed_version = smoke_prediction.DeployedVersion(
        task.model_resource_name, identifier, _kind(task)
    )
    try:
        now = vertex_endpoints.read_endpoint(vertex, before.name)
        smoke_prediction.request_prediction(vertex, now, deployed_version)
    except UserError as error:
        problems = list(error.problems)
        # Without a run the deployment may be another task's, unless this one made it.
        if task.run_id or deployed.operation:
            with collect(problems):
                vertex_endpoints.undeploy(vertex, before.name, identifier, before.traffic_split)
                problems[0] = dataclasses.replace(
                    problems[0], fix=f"{problems[0].fix} {_UNDEPLOYED}"
                )
        raise UserError(*problems) from error


def _kind(task: DeployTask) -> str:
    return resolve(task.model_reference).kind if task.model_reference else "any"


def _without_place(project: str, location: str) -> list[Problem]:
    given = {"project": project, "location": location}
    return [Problem("is empty.", name) for name, value in given.items() if not value]


def _described(task: UploadTask) -> vertex_models.VertexModel:
    """Collects labels, description and environment of the version."""
    reference = resolve(task.model_reference)
    provenance = read_provenance(task.saved_model)
    evaluation = run_content.read_evaluation(task.evaluation)
    metrics = run_content.final_metrics(provenance, evaluation)
    primary = run_content.primary_metric(evaluation)
    ours = labels.version_labels(provenance, reference, task.display_name, task.run_id, {}, primary)
    ours |= labels.quality_labels(evaluation)
    ours[WEIGHTS_LABEL] = str(serving_machines.weights_megabytes(task.saved_model))
    ours[labels.RUN_LABEL] = vertex_names.run_label(task.run_id)
    given = {**run_labels(), **labels.parse_labels(task.labels)}
    legal = vertex_names.legal_labels({**ours, **given, **ours})
    description = labels.version_description(provenance, reference, metrics, primary)
    if legal.changed:
        full = "; ".join(f"{name} = {value}" for name, value in legal.changed.items())
        _logger.warning("Google Cloud allows these labels only in part: %s.", full)
        description += f"\n\nLabels in full: {full}."
    return vertex_models.VertexModel(
        display_name=task.display_name.strip(),
        run_id=task.run_id,
        artifact_uri=task.saved_model_uri,
        container=_container(task),
        labels=legal.labels,
        description=description,
        parent_model=task.parent_model.strip(),
        aliases=tuple(vertex_names.version_aliases(task.version_aliases)),
        encryption_key=task.encryption_key,
    )


def _container(task: UploadTask) -> ModelContainerSpec:
    return serving_container.container_spec(
        serving_container.ServingImages(task.serving_image, task.serving_gpu_image),
        serving_machines.weights_megabytes(task.saved_model),
        {
            _REFERENCE_VARIABLE: resolve(task.model_reference).name,
            _NAME_VARIABLE: task.display_name.strip(),
        },
    )


def _weights(model_labels: Mapping[str, str], reference: str) -> int | None:
    """Tells the size of the weights: as the upload labelled them, else as the name says."""
    text = model_labels.get(WEIGHTS_LABEL, "")
    if text.isdecimal():
        return int(text)
    return serving_machines.named_megabytes(resolve(reference).checkpoint) if reference else None


def _gcp_resources(vertex: Vertex, made: EnsuredResource[object], kind: str, name: str) -> str:
    """Writes the record that Google's own components write, so that the console shows a link.

    Args:
        vertex: Where.
        made: What was made, and the operation.
        kind: Type of the resource where no operation made it.
        name: Its resource name.

    Returns:
        A ``GcpResources`` message as JSON.
    """
    root = f"https://{vertex.location}-aiplatform.googleapis.com/v1"
    record = {
        "resourceType": "VertexLro" if made.operation else kind,
        "resourceUri": f"{root}/{made.operation or name}",
    }
    return json.dumps({"resources": [record]})
