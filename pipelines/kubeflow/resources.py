"""Gives tasks what the options say: machines, volumes, secrets, retries, by kfp.kubernetes.

The one table of what a role's pods get is the section ``tasks`` of options.yaml, with the claims
and secrets that name the role. Beyond it only those below stage models, and have scratch room.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common import images
from kfp_llm_tuning.components.common.processors import THREADS_VARIABLE
from kfp_llm_tuning.components.models.base_models import CACHE_VARIABLE
from kfp_llm_tuning.components.models.implemented import prediction_image, tuner_image
from kfp_llm_tuning.components.tracking.tracked_run import RUN_ID_VARIABLE
from kfp_llm_tuning.pipelines.graphs.platform import Role

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask

    from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions, PodOptions, TaskOptions

STAGING_ROLES = (Role.TUNER, Role.PREDICTOR)
# What our own volumes are called in a pod; KFP names those of claims and secrets after them.
SHARED_MEMORY, SCRATCH = "kfp-llm-tuning-shm", "kfp-llm-tuning-scratch"
# The label by which Kubeflow Pipelines tells the pods of its runs apart, and documents to be read.
_RUN_ID_FIELD = "metadata.labels['pipeline/runid']"
# Argo counts seconds from a task's first try on, and ends whatever try is running then. Ten years.
_LONGEST = 315_360_000


def equipment(options: KubeflowOptions) -> Callable[[PipelineTask, Role], None]:
    """Makes what equips the tasks of a cluster's pipelines.

    Args:
        options: What differs from cluster to cluster.

    Returns:
        Called with a task and its role, it sets all that the options say of it.
    """

    def equip(task: PipelineTask, role: Role) -> None:
        pod = _pod_of(role, options)
        _set_machine(task, role, pod, options)
        _set_placement(task, pod)
        _set_volumes(task, role, pod, options)
        _set_variables(task, role, pod, options)
        _set_pod(task, options)
        _set_tries(task, pod, options)

    return equip


def _pod_of(role: Role, options: KubeflowOptions) -> TaskOptions:
    """Gives the options of a role's pods; the nodes of a TrainJob have what the tuner's would."""
    pod = options.tasks.of(role)
    if role is not Role.TUNER or not options.train_job.enabled:
        return pod
    light = options.tasks.light
    return dataclasses.replace(light, timeout_seconds=pod.timeout_seconds, retries=pod.retries)


def run_volume(options: KubeflowOptions) -> Callable[[PipelineTask], None] | None:
    """Makes what holds a volume for a task: from before it begins until it has succeeded.

    Args:
        options: What differs from cluster to cluster.

    Returns:
        Called with a task, it adds those that make and delete its volume; None without a volume.
    """
    volume = options.run_volume
    if not volume.size:
        return None

    def hold(task: PipelineTask) -> None:
        from kfp import kubernetes

        created = kubernetes.CreatePVC(
            access_modes=list(volume.access_modes),
            size=volume.size,
            storage_class_name=volume.storage_class,
            pvc_name_suffix="-tuner",
        )
        name = created.outputs["name"]
        kubernetes.mount_pvc(task, pvc_name=name, mount_path=volume.mount_path)
        deleted = kubernetes.DeletePVC(pvc_name=name).after(task)
        # A volume that another run made, and has deleted, is of no use to this one.
        for step in (created, deleted):
            step.set_caching_options(False)

    return hold


def prediction_resources(options: KubeflowOptions) -> Mapping[str, Any] | None:
    """Writes what predictions ask for, and what tasks ask for that have nothing to predict.

    Args:
        options: What differs from cluster to cluster.

    Returns:
        Inputs of the component prediction-resources; None where predictions ask for no accelerator.
    """
    busy, idle = options.tasks.predictor, options.tasks.light
    if not busy.gpus:
        return None
    return {
        "accelerators": busy.gpus,
        "cpu": busy.cpu_request,
        "memory": busy.memory_request,
        "idle_cpu": busy.cpu_request and idle.cpu_request,
        "idle_memory": busy.memory_request and idle.memory_request,
    }


def kserve_inputs(options: KubeflowOptions) -> Mapping[str, Any] | None:
    """Writes the options of serving as inputs of deploy-to-kserve; None where it is off."""
    kserve = options.kserve
    if not kserve.enabled:
        return None
    return {
        "serving_image": images.SERVING_GPU_IMAGE if kserve.gpus else images.SERVING_IMAGE,
        "namespace": kserve.namespace,
        "service_account": kserve.service_account,
        "resources": json.dumps(kubernetes_resources(kserve, options), sort_keys=True),
        "shared_memory": kserve.shared_memory,
        "node_selector": _json(kserve.node_selector),
        "tolerations": json.dumps([kubernetes_toleration(entry) for entry in kserve.tolerations]),
        "image_pull_secrets": json.dumps(options.image_pull_secrets),
        "min_replicas": kserve.min_replicas,
        "max_replicas": kserve.max_replicas,
        "labels": _json(kserve.labels),
        "annotations": _json(kserve.annotations),
        "environment": _json({**_thread_variables(kserve), **kserve.environment}),
        "ready_timeout_seconds": kserve.ready_timeout_seconds,
    }


def _set_machine(
    task: PipelineTask, role: Role, pod: TaskOptions, options: KubeflowOptions
) -> None:
    for quantity, set_it in (
        (pod.cpu_request, task.set_cpu_request),
        (pod.cpu_limit, task.set_cpu_limit),
        (pod.memory_request, task.set_memory_request),
        (pod.memory_limit, task.set_memory_limit),
    ):
        if quantity:
            set_it(quantity)
    if not pod.gpus:
        return
    task.set_accelerator_type(options.gpu_resource)
    task.set_accelerator_limit(pod.gpus)
    # A component that somebody put in the place of ours has an image of its own.
    if task.container_spec.image == images.IMAGE:
        named = prediction_image if role is Role.PREDICTOR else tuner_image
        task.set_container_image(named("GPU"))


def _set_placement(task: PipelineTask, pod: TaskOptions) -> None:
    from kfp import kubernetes

    for key, value in pod.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in pod.tolerations:
        kubernetes.add_toleration(task, **dataclasses.asdict(toleration))


def _set_volumes(
    task: PipelineTask, role: Role, pod: TaskOptions, options: KubeflowOptions
) -> None:
    from kfp import kubernetes

    if pod.shared_memory:
        kubernetes.empty_dir_mount(
            task, SHARED_MEMORY, "/dev/shm", medium="Memory", size_limit=pod.shared_memory
        )
    for claim in options.claims:
        if role in claim.tasks:
            kubernetes.mount_pvc(task, claim.claim, claim.mount_path, claim.sub_path)
    for secret in options.secret_files:
        if role in secret.tasks:
            kubernetes.use_secret_as_volume(task, secret.secret, secret.mount_path, secret.optional)
    if options.scratch.size and role in STAGING_ROLES:
        kubernetes.add_ephemeral_volume(
            task,
            SCRATCH,
            options.scratch.mount_path,
            list(options.scratch.access_modes),
            options.scratch.size,
            options.scratch.storage_class or None,
        )


def _set_variables(
    task: PipelineTask, role: Role, pod: TaskOptions, options: KubeflowOptions
) -> None:
    from kfp import kubernetes

    variables = dict(options.environment)
    if role in STAGING_ROLES:
        variables = staging_variables(pod, options)
    for name, value in variables.items():
        task.set_env_variable(name, value)
    # No input: it would be part of the key of the cache, and no task be taken from there again.
    kubernetes.use_field_path_as_env(task, RUN_ID_VARIABLE, _RUN_ID_FIELD)
    for secret in options.secret_environment:
        if role in secret.tasks:
            kubernetes.use_secret_as_env(task, secret.secret, dict(secret.keys), secret.optional)


def staging_variables(pod: PodOptions, options: KubeflowOptions) -> dict[str, str]:
    """Gives the environment of a pod that stages models: the user's variables over ours.

    Args:
        pod: What it asks for.
        options: What differs from cluster to cluster.
    """
    scratch = _scratch_variables(options.scratch.mount_path) if options.scratch.size else {}
    return {**scratch, **_thread_variables(pod), **options.environment}


def _thread_variables(pod: PodOptions) -> dict[str, str]:
    """Asks for as many threads as the processors that the pod requests.

    A container sees a limit, and counts its threads by it; of a request it sees nothing, and would
    start a thread for each processor of its node.
    """
    from kubernetes.utils import parse_quantity

    if pod.cpu_limit or not pod.cpu_request:
        return {}
    return {THREADS_VARIABLE: str(math.ceil(parse_quantity(pod.cpu_request)))}


def _scratch_variables(folder: str) -> dict[str, str]:
    return {
        "TMPDIR": folder,
        "HF_HOME": f"{folder}/huggingface",
        CACHE_VARIABLE: f"{folder}/models",
    }


def _set_pod(task: PipelineTask, options: KubeflowOptions) -> None:
    from kfp import kubernetes

    if options.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(options.image_pull_secrets))
    if options.image_pull_policy:
        kubernetes.set_image_pull_policy(task, options.image_pull_policy)
    for key, value in options.pod_labels.items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in options.pod_annotations.items():
        kubernetes.add_pod_annotation(task, key, value)
    identity = dataclasses.asdict(options.security_context)
    if any(value is not None for value in identity.values()):
        kubernetes.set_security_context(task, **identity)


def _set_tries(task: PipelineTask, pod: TaskOptions, options: KubeflowOptions) -> None:
    from kfp import kubernetes

    kubernetes.set_timeout(task, pod.timeout_seconds)
    if not pod.retries:
        return
    pause, factor = options.retry_pause_seconds, options.retry_pause_factor
    pauses = sum(pause * factor**number for number in range(pod.retries))
    # KFP's default is an hour for all tries together, and Argo ends the one that is running then.
    together = min((pod.retries + 1) * pod.timeout_seconds + pauses, _LONGEST)
    task.set_retry(
        pod.retries,
        backoff_duration=f"{pause}s",
        backoff_factor=factor,
        backoff_max_duration=f"{together}s",
    )


def kubernetes_resources(pod: PodOptions, options: KubeflowOptions) -> dict[str, dict[str, str]]:
    """Writes a container's resources in Kubernetes' words.

    Args:
        pod: What it asks for.
        options: What differs from cluster to cluster.
    """
    requests = {"cpu": pod.cpu_request, "memory": pod.memory_request}
    limits = {"cpu": pod.cpu_limit, "memory": pod.memory_limit}
    if pod.gpus:
        limits[options.gpu_resource] = str(pod.gpus)
    return {
        name: {key: value for key, value in values.items() if value}
        for name, values in (("requests", requests), ("limits", limits))
    }


def kubernetes_toleration(toleration: Any) -> dict[str, Any]:
    """Writes a toleration, a ``Toleration`` of the options, in Kubernetes' words."""
    values = dataclasses.asdict(toleration)
    values["tolerationSeconds"] = values.pop("toleration_seconds")
    return {key: value for key, value in values.items() if value is not None}


def _json(mapping: Mapping[str, str]) -> str:
    return json.dumps(dict(mapping), sort_keys=True)
