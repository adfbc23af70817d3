"""Looks whether a cluster, and the registries beside it, have what a pipeline's pods ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.kubeflow.planning.cluster import Cluster
from kfp_llm_tuning.pipelines.kubeflow.planning.image_checks import check_images
from kfp_llm_tuning.pipelines.kubeflow.planning.pod_room import gibibytes
from kfp_llm_tuning.pipelines.kubeflow.pod_needs import ClusterNeeds, PodNeeds
from kfp_llm_tuning.pipelines.planning.checks import Check, looked_at

_KSERVE = ("serving.kserve.io", "v1beta1")
_TRAINER = ("trainer.kubeflow.org", "v1alpha1")
_NODE_DISK = "ephemeral-storage"
_KUEUE = ("kueue.x-k8s.io", "v1beta1")
_NOT_LOOKED_AT = "secrets, claims, storage classes, accounts and nodes were not looked at"


def check_cluster(context: str, namespace: str, needs: ClusterNeeds, account: str) -> list[Check]:
    """Looks at everything that can be looked at.

    Args:
        context: Of the kubeconfig; empty for the current one.
        namespace: That the pods run in.
        needs: What they ask for.
        account: That they run as; empty for the default one.

    Returns:
        What was found; where no cluster can be asked, that.
    """
    try:
        cluster = Cluster(context, namespace)
    except UserError as error:
        problem = error.problems[0]
        what = f"{_NOT_LOOKED_AT}: {problem.what}"
        return [Check("cluster", "unknown", what, problem.fix), *check_images(None, needs)]
    checks = [Check("cluster", "ok", f"{cluster.name} answers; its namespace {namespace} is used.")]
    for subject, look in (
        ("secrets", lambda: list(_check_secrets(cluster, needs))),
        ("claims", lambda: list(_check_claims(cluster, needs))),
        ("storage classes", lambda: list(_check_classes(cluster, needs))),
        ("service account", lambda: _check_account(cluster, account)),
        ("nodes", lambda: list(_check_nodes(cluster, needs.pods))),
        ("disk", lambda: list(_check_disks(cluster, needs))),
        ("Kubeflow Trainer", lambda: list(_check_trainer(cluster, needs))),
        ("KServe", lambda: _check_kserve(cluster, needs)),
        ("images", lambda: check_images(cluster, needs)),
    ):
        checks += looked_at(subject, look)
    return checks


def _check_secrets(cluster: Cluster, needs: ClusterNeeds) -> Iterator[Check]:
    wanted = {**dict.fromkeys(needs.pull_secrets, frozenset[str]()), **needs.secrets}
    for name, keys in sorted(wanted.items()):
        read = cluster.core.read_namespaced_secret
        found = cluster.find(read, f"read the secret {name}", name, cluster.namespace)
        if found is None:
            fix = f"kubectl create secret ... {name} --namespace {cluster.namespace}"
            yield Check("secrets", "problem", f"there is no secret {name}.", fix)
        elif missing := keys - set(found.data or {}):
            what = f"the secret {name} lacks {', '.join(sorted(missing))}."
            yield Check("secrets", "problem", what, "Add it, or name another key in the options.")
        else:
            yield Check("secrets", "ok", f"{name} is there.")


def _check_claims(cluster: Cluster, needs: ClusterNeeds) -> Iterator[Check]:
    for name in sorted(needs.claims):
        read = cluster.core.read_namespaced_persistent_volume_claim
        found = cluster.find(read, f"read the claim {name}", name, cluster.namespace)
        if found is None:
            fix = "Make it, or name another one in the options (claims)."
            yield Check("claims", "problem", f"there is no claim {name}.", fix)
        elif found.status.phase == "Lost":
            yield Check("claims", "problem", f"the volume of the claim {name} is lost.")
        else:
            yield Check("claims", "ok", f"{name} is {found.status.phase.lower()}.")


def _check_classes(cluster: Cluster, needs: ClusterNeeds) -> Iterator[Check]:
    for name in sorted(needs.storage_classes):
        read = cluster.storage.read_storage_class
        if cluster.find(read, f"read the storage class {name}", name) is None:
            what = f"there is no storage class {name}."
            yield Check("storage classes", "problem", what, "kubectl get storageclass lists them.")
        else:
            yield Check("storage classes", "ok", f"{name} is there.")


def _check_account(cluster: Cluster, account: str) -> list[Check]:
    if not account:
        return []
    read = cluster.core.read_namespaced_service_account
    doing = f"read the service account {account}"
    if cluster.find(read, doing, account, cluster.namespace) is None:
        what = f"there is no service account {account} in {cluster.namespace}."
        return [Check("service account", "problem", what, "Make it, or leave --service-account.")]
    return [Check("service account", "ok", f"{account} is there.")]


def _check_nodes(cluster: Cluster, pods: Sequence[PodNeeds]) -> Iterator[Check]:
    nodes = cluster.ask(cluster.core.list_node, "list the nodes").items
    ready = [node for node in nodes if _is_ready(node)]
    grouped: dict[str, list[PodNeeds]] = {}
    for pod in pods:
        grouped.setdefault(pod.key, []).append(pod)
    for alike in grouped.values():
        fitting = sum(_fits(node, alike[0]) for node in ready)
        wanted = _words(alike[0])
        if fitting:
            yield Check("nodes", "ok", f"{fitting} of {len(ready)} have {wanted}.")
        else:
            tasks = ", ".join(pod.task for pod in alike[:3])
            what = f"none of {len(ready)} has {wanted}, for {tasks}."
            fix = "Its pods wait until the cluster gets one: fine where nodes come when needed."
            yield Check("nodes", "warning", what, fix)


def _check_disks(cluster: Cluster, needs: ClusterNeeds) -> Iterator[Check]:
    """Compares what pods put on their nodes' disks with the largest disk of the nodes for them."""
    from kubernetes.utils import parse_quantity

    nodes = cluster.ask(cluster.core.list_node, "list the nodes").items
    for pod in needs.pods:
        fitting = [
            node.status.allocatable or {} for node in nodes if _is_ready(node) and _fits(node, pod)
        ]
        offers = [parse_quantity(one[_NODE_DISK]) for one in fitting if _NODE_DISK in one]
        needed = needs.disks.get(pod.task, 0)
        if not needed or not offers:
            continue
        said = f"{pod.task} puts about {gibibytes(needed)} on its node's disk"
        if needed > max(offers):
            what = f"{said}, and the largest of {len(offers)} has {gibibytes(float(max(offers)))}."
            volume = f"the option scratch a size of {gibibytes(needed)} (outputs stay on the disk)"
            fix = f"Give {volume}, or nodes larger disks."
            yield Check("disk", "problem", what, fix)
        else:
            yield Check("disk", "ok", f"{said}, and {gibibytes(float(max(offers)))} are there.")


def _is_ready(node: Any) -> bool:
    conditions = {one.type: one.status for one in node.status.conditions or []}
    return conditions.get("Ready") == "True" and not node.spec.unschedulable


def _fits(node: Any, pod: PodNeeds) -> bool:
    from kubernetes.utils import parse_quantity

    labels: Mapping[str, str] = node.metadata.labels or {}
    offered: Mapping[str, str] = node.status.allocatable or {}
    return pod.labels.items() <= labels.items() and all(
        parse_quantity(offered.get(name, "0")) >= parse_quantity(quantity)
        for name, quantity in pod.resources.items()
    )


def _words(pod: PodNeeds) -> str:
    resources = [f"{quantity} {name}" for name, quantity in pod.resources.items()]
    labels = [f"{key}={value}" for key, value in pod.labels.items()]
    return ", ".join([*resources, *labels]) or "anything"


def _check_kserve(cluster: Cluster, needs: ClusterNeeds) -> list[Check]:
    if not needs.kserve:
        return []
    read = cluster.custom.list_namespaced_custom_object
    arguments = (*_KSERVE, cluster.namespace, "inferenceservices")
    if cluster.find(read, "list the inference services", *arguments) is None:
        what = "the cluster knows no InferenceService."
        return [Check("KServe", "problem", what, "Install KServe, or leave the option kserve off.")]
    return [Check("KServe", "ok", "the cluster knows InferenceServices.")]


def _check_trainer(cluster: Cluster, needs: ClusterNeeds) -> Iterator[Check]:
    """Looks whether the cluster takes the tuner's TrainJob."""
    if not needs.runtime:
        return
    subject, own_pod = "Kubeflow Trainer", "leave the option train_job off: the task's own pod"
    read = cluster.custom.list_namespaced_custom_object
    arguments = (*_TRAINER, cluster.namespace, "trainjobs")
    if cluster.find(read, "list the TrainJobs", *arguments) is None:
        fix = f"Install Kubeflow Trainer 2.2 or newer, or {own_pod} tunes then."
        yield Check(subject, "problem", "the cluster knows no TrainJob.", fix)
        return
    name = needs.runtime
    read = cluster.custom.get_cluster_custom_object
    arguments = (*_TRAINER, "clustertrainingruntimes", name)
    if cluster.find(read, f"read the ClusterTrainingRuntime {name}", *arguments) is None:
        fix = "Install Kubeflow Trainer's runtimes, or name another one (train_job.runtime)."
        yield Check(subject, "problem", f"there is no ClusterTrainingRuntime {name}.", fix)
    else:
        yield Check(subject, "ok", f"the cluster knows TrainJobs, and the runtime {name}.")
    if needs.queue:
        yield _check_queue(cluster, needs.queue)


def _check_queue(cluster: Cluster, queue: str) -> Check:
    read = cluster.custom.get_namespaced_custom_object
    arguments = (*_KUEUE, cluster.namespace, "localqueues", queue)
    if cluster.find(read, f"read the LocalQueue {queue}", *arguments) is None:
        fix = "Make it, or name another one (train_job.queue): until then the TrainJob waits."
        return Check("Kueue", "problem", f"there is no LocalQueue {queue}.", fix)
    return Check("Kueue", "ok", f"the LocalQueue {queue} is there.")
