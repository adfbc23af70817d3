"""Whether pods have room for a model, by the options alone and on the cluster's nodes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kfp_llm_tuning.pipelines.kubeflow.options_file import options_from
from kfp_llm_tuning.pipelines.kubeflow.planning.cluster_checks import _check_disks
from kfp_llm_tuning.pipelines.kubeflow.planning.pod_room import PodRoom
from kfp_llm_tuning.pipelines.kubeflow.pod_needs import ClusterNeeds, PodNeeds
from kfp_llm_tuning.pipelines.planning.checks import Check
from kfp_llm_tuning.pipelines.planning.planned_run import PlannedRun

SEVEN, SMALL = "qwen2.5-7b-instruct", "smollm2-135m-instruct"
TUNER = "large-language-model-tuner"


def room(model: str, **options: Any) -> PodRoom:
    checked: Any = SimpleNamespace()
    run = PlannedRun("tune-large-model", {"large_model_reference": model}, checked)
    found = PodRoom.of(run, options_from(options))
    assert found
    return found


def said(model: str, **options: Any) -> dict[str, str]:
    return {check.text: check.status for check in room(model, **options).checks()}


def test_nothing_is_said_of_an_invalid_run() -> None:
    run = PlannedRun("tune-large-model", {"large_model_reference": SEVEN}, None)
    assert PodRoom.of(run, options_from({})) is None


def test_a_volume_that_is_too_small_is_told_with_the_size_that_is_not() -> None:
    (small,) = room(SEVEN, scratch={"size": "10Gi"}).checks()
    assert small.status == "problem" and "scratch has 10Gi" in small.text
    needed = small.fix.removeprefix("Give scratch.size: ").partition(" ")[0]
    (enough,) = room(SEVEN, scratch={"size": needed}).checks()
    assert enough.status == "ok"


def test_checkpoints_are_held_against_the_volume_of_the_run() -> None:
    volume = {"size": "1Mi", "storage_class": "fast"}
    (found,) = room(SEVEN, run_volume=volume).checks()
    assert found.status == "problem" and "run_volume" in found.text
    assert not room(SEVEN, run_volume=volume, checkpoint_root="gs://bucket/there").checks()


def test_a_pod_without_gpus_holds_the_model_in_its_memory() -> None:
    pod = {"machine": "", "memory_request": "8Gi", "memory_limit": "8Gi"}
    tuner, predictor = room(SEVEN, tasks={"tuner": pod, "predictor": pod}).checks()
    assert (tuner.status, predictor.status) == ("problem", "warning")
    assert "tasks.predictor.memory_limit" in predictor.fix
    assert not said(SMALL, tasks={"tuner": pod, "predictor": pod})
    # Without a limit its node may have more.
    (asked,) = room(SEVEN, tasks={"tuner": {**pod, "memory_limit": ""}}).checks()
    assert asked.status == "warning"


def test_what_lies_on_a_nodes_disk_is_less_with_a_volume() -> None:
    staged = room(SEVEN).with_disks(ClusterNeeds()).disks
    assert staged[TUNER] > 2 * staged["batch-predict"] > 28e9
    outputs = room(SEVEN, scratch={"size": "99Gi"}).with_disks(ClusterNeeds()).disks
    assert set(outputs) == {TUNER} and outputs[TUNER] < staged[TUNER]


def disks(*offered: dict[str, str]) -> list[Check]:
    """Has a pod that puts 30 GB on the disk of one of these nodes."""

    def node(allocatable: dict[str, str]) -> Any:
        ready = [SimpleNamespace(type="Ready", status="True")]
        status = SimpleNamespace(conditions=ready, allocatable=allocatable)
        spec, metadata = SimpleNamespace(unschedulable=False), SimpleNamespace(labels={})
        return SimpleNamespace(status=status, spec=spec, metadata=metadata)

    nodes = SimpleNamespace(items=[node(one) for one in offered])
    cluster: Any = SimpleNamespace(ask=lambda *_: nodes, core=SimpleNamespace(list_node=None))
    pod = PodNeeds(TUNER, {}, {"cpu": "2"})
    return list(_check_disks(cluster, ClusterNeeds(pods=(pod,), disks={TUNER: 30 * 2**30})))


def test_the_largest_disk_of_nodes_for_a_pod_is_held_against_it() -> None:
    small = {"cpu": "4", "ephemeral-storage": "9Gi"}
    too_few_processors = {"cpu": "1", "ephemeral-storage": "99Gi"}
    (found,) = disks(small, {**small, "ephemeral-storage": "10Gi"}, too_few_processors)
    assert found.status == "problem" and "the largest of 2 has 10Gi" in found.text
    assert "30Gi" in found.fix
    (found,) = disks(small, {**small, "ephemeral-storage": "31Gi"})
    assert found.status == "ok"
    assert not disks({"cpu": "4"})
