"""What differs from one Kubeflow cluster to another: options.yaml, and a user's file over it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfp_llm_tuning.pipelines.graphs.platform import Role
from kfp_llm_tuning.pipelines.kubeflow.machines import gpu_count

_ALL_ROLES = tuple(Role)


@dataclass(frozen=True, kw_only=True)
class Toleration:
    """A taint that pods of a role tolerate, in Kubernetes' words."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class PodOptions:
    """What a container asks of its machine; quantities are Kubernetes', empty ones are not set.

    Attributes:
        machine: A row of machine_specs.yaml, for its accelerators; empty for none.
        accelerator_count: GPUs where they are not as many as the row's; 0: the row's.
        shared_memory: Size of /dev/shm.
        cpu_request: Processors that it gets at least.
        cpu_limit: Processors that it gets at most.
        memory_request: Memory that it gets at least.
        memory_limit: Memory that it gets at most.
        node_selector: Labels of the nodes that it runs on.
        tolerations: Taints of those nodes.
    """

    machine: str
    accelerator_count: int
    shared_memory: str
    cpu_request: str
    cpu_limit: str
    memory_request: str
    memory_limit: str
    node_selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]

    @property
    def gpus(self) -> int:
        """How many GPUs the machine gives the pod; 0 for none."""
        return gpu_count(self.machine, self.accelerator_count)


@dataclass(frozen=True, kw_only=True)
class TaskOptions(PodOptions):
    """The pods of the tasks of one role.

    Attributes:
        timeout_seconds: Of each try.
        retries: How often a task that failed is tried again.
    """

    timeout_seconds: int
    retries: int


@dataclass(frozen=True, kw_only=True)
class TasksOptions:
    """The options of every role."""

    light: TaskOptions
    tuner: TaskOptions
    predictor: TaskOptions
    registry: TaskOptions

    def of(self, role: Role) -> TaskOptions:
        """Gives the options of a role."""
        options: TaskOptions = getattr(self, role)
        return options


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume that is made when it is needed; none where its size is empty."""

    size: str
    storage_class: str
    access_modes: tuple[str, ...]
    mount_path: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim that is there, and the roles whose tasks see it."""

    claim: str
    mount_path: str
    sub_path: str = ""
    tasks: tuple[Role, ...] = _ALL_ROLES


@dataclass(frozen=True, kw_only=True)
class SecretEnvironment:
    """Environment variables of which a secret has the values."""

    secret: str
    keys: Mapping[str, str]
    optional: bool = False
    tasks: tuple[Role, ...] = _ALL_ROLES


@dataclass(frozen=True, kw_only=True)
class SecretFiles:
    """A secret whose keys are files in a folder."""

    secret: str
    mount_path: str
    optional: bool = False
    tasks: tuple[Role, ...] = _ALL_ROLES


@dataclass(frozen=True, kw_only=True)
class SecurityContext:
    """Whom the containers run as; None leaves it to the image and the cluster."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None


@dataclass(frozen=True, kw_only=True)
class KserveOptions(PodOptions):
    """How KServe serves a registered model; what the attributes mean stands in options.yaml."""

    enabled: bool
    namespace: str
    service_account: str
    min_replicas: int
    max_replicas: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    environment: Mapping[str, str]
    ready_timeout_seconds: int


@dataclass(frozen=True, kw_only=True)
class TrainJobOptions:
    """The TrainJob of Kubeflow Trainer that the tuner's task makes.

    Attributes:
        enabled: Whether it makes one.
        runtime: The ClusterTrainingRuntime of its nodes.
        queue: Kueue's LocalQueue that admits it; empty for none.
    """

    enabled: bool
    runtime: str
    queue: str


@dataclass(frozen=True, kw_only=True)
class KubeflowOptions:
    """All options; their meanings and defaults stand in options.yaml."""

    mlflow_tracking_uri: str
    checkpoint_root: str
    run_volume: Volume
    claims: tuple[Claim, ...]
    secret_environment: tuple[SecretEnvironment, ...]
    secret_files: tuple[SecretFiles, ...]
    environment: Mapping[str, str]
    image_pull_secrets: tuple[str, ...]
    image_pull_policy: str
    pod_labels: Mapping[str, str]
    pod_annotations: Mapping[str, str]
    security_context: SecurityContext
    scratch: Volume
    gpu_resource: str
    retry_pause_seconds: int
    retry_pause_factor: int
    tasks: TasksOptions
    train_job: TrainJobOptions
    kserve: KserveOptions

    @property
    def checkpoint_directory(self) -> str:
        """Where checkpoints are kept; empty for the tuner's own pod."""
        if self.checkpoint_root or not self.run_volume.size:
            return self.checkpoint_root
        return f"{self.run_volume.mount_path}/checkpoints"

    @property
    def tuner_accelerator(self) -> str:
        """GPU, or CPU for none."""
        return "GPU" if self.tasks.tuner.gpus else "CPU"

    def without_accelerators(self) -> KubeflowOptions:
        """Gives the same options for a cluster that has no accelerators."""
        tasks = {
            role: dataclasses.replace(self.tasks.of(role), machine="", accelerator_count=0)
            for role in Role
        }
        kserve = dataclasses.replace(self.kserve, machine="", accelerator_count=0)
        return dataclasses.replace(self, tasks=TasksOptions(**tasks), kserve=kserve)

    def to_mapping(self) -> dict[str, Any]:
        """Writes the options as a file has them; what is not set in a list's entry is left out."""
        mapping: dict[str, Any] = _plain(dataclasses.asdict(self))
        return mapping


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items() if entry is not None}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Role) else value
