"""The one place that knows what differs from platform to platform.

Two things do: where the tuner's container runs, and where models are registered. Everything else
is the same graph, compiled once for each platform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.platforms import platform_named

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask


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
        train_job: How the nodes of the tuner's TrainJob are; empty: it makes none.
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
    train_job: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """What validate-pipeline is told of the platform."""
        return {
            "platform": self.name,
            "pipeline_region": self.pipeline_region,
            "service_account": self.service_account,
            "run_time": self.run_time,
            "platform_registry_uri": self.registry_uri,
            "platform_accelerator": self.accelerator,
            "platform_train_job": bool(self.train_job),
        }

    @property
    def tunes_in_place(self) -> bool:
        """Whether the tuner works in its task's own container, and starts no other job."""
        return platform_named(self.name).tunes_in_place
