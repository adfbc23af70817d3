"""The one place that knows what differs from platform to platform.

Two things do: where the tuner's container runs, and where models are registered. Everything else
is the same graph, compiled once for each platform.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.models.implemented import prediction_image
from kfp_llm_tuning.components.tuning.machine_specs import select_machine

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask

    from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions

# The machine of a batch prediction on Vertex AI: the smallest GPU that vLLM is quick on.
PREDICTION_MACHINE = "l4-1"


class Role(StrEnum):
    """What a task needs of its machine; a platform equips all tasks of a role alike."""

    LIGHT = "light"  # Checks, prepares data, compares: processors and memory only.
    TUNER = "tuner"
    PREDICTOR = "predictor"
    REGISTRY = "registry"  # Registers, deploys.


def _leave(task: PipelineTask, role: Role) -> None:
    """Leaves a task as it is."""


@dataclass(frozen=True)
class Platform:
    """What a pipeline needs to know of the place it runs in.

    Attributes:
        name: local, kubeflow or vertex.
        pipeline_region: The region that the pipeline runs in; empty where there are none.
        run_id: Names the run in the registry, the same for every try of one run.
        run_time: When the run was created, ISO 8601; empty where display names have no date.
        registry_uri: MLflow tracking URI of the platform's own registry; empty where runs must
            name one, and on Vertex AI, whose own is the Model Registry.
        checkpoint_directory: Where the tuner keeps its checkpoints between tries; empty: beside
            its output.
        checkpoint_folder: Folder of that directory that is the run's; empty: the whole of it. On
            its own because Kubeflow's backend replaces no placeholder amid other text.
        export_directory: Where managed datasets are exported to; empty where there are none.
        labels: A JSON object: what the user labels the run and its model with.
        experiment: Name of the run's curves in a TensorBoard.
        service_account: Account that the tuner and the endpoint run as; empty for the default.
        network: Network that the tuner is peered with; empty for none.
        persistent_resource_id: Machines kept for several jobs; empty for none.
        caches_own_run: Whether a cache belongs to one run. Elsewhere what a run must do for itself
            is never cached: the next run would export and register nothing.
        accelerator: GPU, TPU or CPU where the tuner's machine is compiled in; empty elsewhere.
        equip: Gives a task what its role needs: processors, accelerators, volumes, secrets.
        prediction_job: Inputs of batch-predict that say in which job it predicts; none: in its own
            task.
        prediction_resources: Inputs of the component of that name; None where the tasks of
            batch-predict ask for nothing that is dear.
        hold_volume: Makes a volume for the tuner, and deletes it once the model is tuned; None
            where there is none.
        kserve: Inputs of deploy-to-kserve that say how a model is served; None: KServe serves none.
    """

    name: str
    pipeline_region: str
    run_id: str
    registry_uri: str
    checkpoint_directory: str
    labels: str
    experiment: str
    run_time: str = ""
    checkpoint_folder: str = ""
    export_directory: str = ""
    service_account: str = ""
    network: str = ""
    persistent_resource_id: str = ""
    caches_own_run: bool = True
    accelerator: str = ""
    equip: Callable[[PipelineTask, Role], None] = _leave
    prediction_job: Mapping[str, str] = field(default_factory=dict)
    prediction_resources: Mapping[str, Any] | None = None
    hold_volume: Callable[[PipelineTask], None] | None = None
    kserve: Mapping[str, Any] | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What validate-pipeline is told of the platform."""
        return {
            "platform": self.name,
            "pipeline_region": self.pipeline_region,
            "service_account": self.service_account,
            "run_time": self.run_time,
            "platform_registry_uri": self.registry_uri,
            "platform_accelerator": self.accelerator,
        }

    @property
    def tunes_in_place(self) -> bool:
        """Whether the tuner works in its task's own container, and starts no other job."""
        return self.name != "vertex"


def local(
    run_directory: Path,
    registry_uri: str,
    labels: Mapping[str, str],
    run_time: str = "",
    run_id: str = "",
) -> Platform:
    """Describes this machine: kfp.local, the tuner in place, models in MLflow.

    Args:
        run_directory: The run's folder.
        registry_uri: MLflow tracking URI.
        labels: Labels of the run.
        run_time: When the run was created, ISO 8601.
        run_id: What the run was called when it was made; empty: as its folder.

    Returns:
        The platform.
    """
    run_id = run_id or run_directory.name
    return Platform(
        name="local",
        pipeline_region="",
        run_id=run_id,
        run_time=run_time,
        registry_uri=registry_uri,
        checkpoint_directory=str(run_directory / "checkpoints"),
        labels=json.dumps(dict(labels), sort_keys=True),
        experiment=run_id,
    )


def kubeflow(options: KubeflowOptions, labels: Mapping[str, str] | None = None) -> Platform:
    """Describes a Kubeflow cluster: the tuner in its task's pod, models in MLflow.

    Its values are placeholders that the backend fills in: each is all of an input's value, as the
    backend asks for.

    Args:
        options: What differs from cluster to cluster.
        labels: Labels of the model, compiled in.

    Returns:
        The platform.
    """
    from kfp import dsl

    from kfp_llm_tuning.pipelines.kubeflow import resources

    return Platform(
        name="kubeflow",
        pipeline_region="",
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        run_time=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
        registry_uri=options.mlflow_tracking_uri,
        checkpoint_directory=options.checkpoint_directory,
        checkpoint_folder=dsl.PIPELINE_JOB_ID_PLACEHOLDER if options.checkpoint_root else "",
        labels=json.dumps(dict(labels or {}), sort_keys=True),
        experiment=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        caches_own_run=False,
        accelerator=options.tuner_accelerator,
        equip=resources.equipment(options),
        prediction_resources=resources.prediction_resources(options),
        hold_volume=resources.run_volume(options),
        kserve=resources.kserve_inputs(options),
    )


def vertex(prediction_machine: str = PREDICTION_MACHINE) -> Platform:
    """Describes Vertex AI Pipelines: the tuner in a CustomJob, models in the Model Registry.

    Its values are placeholders that the service fills in when a task starts. Batch predictions run
    in CustomJobs as well: a task that asked for a GPU itself would ask for it also where there is
    nothing to predict, and fail where there is none to be had.

    Args:
        prediction_machine: Machine of the batch predictions, a name of machine_specs.yaml; empty:
            in their tasks, without a GPU.

    Returns:
        The platform.
    """
    from kfp import dsl

    from kfp_llm_tuning.pipelines.vertex import placeholders

    run_folder = f"{dsl.PIPELINE_ROOT_PLACEHOLDER}/{dsl.PIPELINE_JOB_ID_PLACEHOLDER}"
    return Platform(
        name="vertex",
        pipeline_region=placeholders.LOCATION,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        run_time=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
        registry_uri="",
        checkpoint_directory=f"{run_folder}/checkpoints",
        export_directory=f"{run_folder}/dataset",
        labels="",
        experiment=(
            f"large-language-model-tuner-{dsl.PIPELINE_JOB_ID_PLACEHOLDER}"
            f"-{dsl.PIPELINE_TASK_ID_PLACEHOLDER}"
        ),
        service_account=placeholders.SERVICE_ACCOUNT,
        network=placeholders.NETWORK,
        persistent_resource_id=placeholders.PERSISTENT_RESOURCE_ID,
        caches_own_run=False,
        prediction_job=_prediction_job(prediction_machine) if prediction_machine else {},
    )


def _prediction_job(machine: str) -> dict[str, str]:
    from kfp_llm_tuning.pipelines.vertex import placeholders

    chosen = select_machine("", machine, "--prediction-machine", stage="predict")
    return {
        "machine": machine,
        "image": prediction_image(chosen.accelerator),
        "project": placeholders.PROJECT,
        "location": placeholders.LOCATION,
        "service_account": placeholders.SERVICE_ACCOUNT,
        "network": placeholders.NETWORK,
    }
