"""Whether the pods of a run have room for its model: memory without a GPU, volumes, disks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.common.storage import is_local
from kfp_llm_tuning.components.models.devices import CPU, device_named
from kfp_llm_tuning.components.models.disk_needs import FILE_BYTES, DiskNeeds, disk_needs
from kfp_llm_tuning.components.models.feasibility import Setup
from kfp_llm_tuning.components.models.footprint import Method
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.models.model_shapes import ModelShape, shape_of
from kfp_llm_tuning.components.validation.machine_memory import memory_findings, method_of
from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions, TaskOptions
from kfp_llm_tuning.pipelines.kubeflow.pod_needs import ClusterNeeds
from kfp_llm_tuning.pipelines.planning.checks import Check, Status
from kfp_llm_tuning.pipelines.planning.planned_run import PlannedRun

_TUNER, _PREDICTOR = "large-language-model-tuner", "batch-predict"
_GIBIBYTE = 2**30
# Beside its weights a model needs room for what it reads. Estimated.
_BESIDE_WEIGHTS = 1.2


@dataclass(frozen=True)
class PodRoom:
    """What a run's model takes of its pods.

    Attributes:
        shape: The model.
        method: How it is tuned.
        disk: What the tuner keeps.
        options: What the pods are given.
        nodes: Pods that tune together.
    """

    shape: ModelShape
    method: Method
    disk: DiskNeeds
    options: KubeflowOptions
    nodes: int = 1

    @classmethod
    def of(cls, run: PlannedRun, options: KubeflowOptions | None) -> PodRoom | None:
        """Reckons it; None where the parameters are invalid or the model's sizes are not known.

        Args:
            run: The run.
            options: The cluster's; None where they are wrong.
        """
        if run.checked is None or options is None:
            return None
        reference = resolve(str(run.value("large_model_reference")))
        shape = shape_of(reference.checkpoint)
        if shape is None:
            return None
        method = method_of(reference, run.value("tuner_arguments"))
        selects = reference.selects_checkpoint(str(run.value("enable_checkpoint_selection")))
        nodes = int(run.value("tuning_machine_count")) if options.train_job.enabled else 1
        return cls(shape, method, disk_needs(shape, method, selects=selects), options, nodes)

    def checks(self) -> list[Check]:
        """Compares it with what the options give, whatever the cluster has."""
        return [*self._memory(), *self._volumes()]

    def with_disks(self, needs: ClusterNeeds) -> ClusterNeeds:
        """Adds what pods put on their nodes' disks, which they do not ask for.

        Args:
            needs: Of the compiled pipeline.
        """
        tuner = f"{_TUNER}'s TrainJob" if needs.runtime else _TUNER
        # Outputs lie in the pod until they are uploaded, whatever volumes it has.
        disks = {tuner: self.disk.tuned}
        if not self.options.scratch.size:
            disks = {tuner: self.disk.tuned + self._staged, _PREDICTOR: self.disk.base}
        return dataclasses.replace(needs, disks=disks)

    @property
    def _staged(self) -> int:
        """Bytes of the base model, and of checkpoints where no volume is for them."""
        root, volume = self.options.checkpoint_root, self.options.run_volume.size
        elsewhere = is_local(root) if root else bool(volume)
        return self.disk.base + (0 if elsewhere else self.disk.checkpoints)

    def _volumes(self) -> Iterator[Check]:
        volumes = [("scratch", self.options.scratch.size, self._staged)]
        if not self.options.checkpoint_root:
            volumes.append(("run_volume", self.options.run_volume.size, self.disk.checkpoints))
        for name, size, needed in volumes:
            if size and _bytes(size) < needed:
                what = f"the volume {name} has {size}, and this run puts {gibibytes(needed)} there."
                fix = f"Give {name}.size: {gibibytes(needed)} in the options, and compile anew."
                yield Check("disk", "problem", what, fix)
            elif size:
                text = f"{name}: {gibibytes(needed)} of {size} are needed."
                yield Check("disk", "ok", text)

    def _memory(self) -> Iterator[Check]:
        """Looks at pods without GPUs: they hold the model in their memory."""
        tuner, predictor = self.options.tasks.tuner, self.options.tasks.predictor
        processor = device_named(CPU)
        assert processor
        if memory := _memory_of(tuner):
            device = dataclasses.replace(processor, memory=memory)
            setup = Setup(self.shape, self.method, device, machines=self.nodes)
            found = memory_findings(setup, "tasks.tuner", chooses_machine=False, where="a pod")
            for problem in found.problems:
                yield _of(problem, tuner)
            yield from (Check("memory", "warning", text) for text in found.warnings)
        weights = self.shape.weights * FILE_BYTES
        if (memory := _memory_of(predictor)) and memory < weights:
            what = (
                f"tasks.predictor: the model's weights take {gibibytes(weights)} of a pod that "
                f"has {gibibytes(memory)}: without predictions there is no evaluation."
            )
            more = gibibytes(weights * _BESIDE_WEIGHTS)
            fix = f"Give tasks.predictor.memory_limit: {more}, and compile anew."
            yield Check("memory", "warning", what, fix)


def _of(problem: Problem, pod: TaskOptions) -> Check:
    """Tells a pod's want of memory: one that has no limit may find more on its node."""
    status: Status = "problem" if pod.memory_limit else "warning"
    fix = f"{problem.fix} Or give its pod more memory, or a machine with GPUs, in the options."
    return Check("memory", status, f"{problem.where}: {problem.what}", fix)


def _memory_of(pod: TaskOptions) -> float:
    """Gives the bytes of a pod without GPUs; 0 where it has some, or nothing is said of memory."""
    size = pod.memory_limit or pod.memory_request
    return 0.0 if pod.gpus or not size else _bytes(size)


def _bytes(quantity: str) -> float:
    from kubernetes.utils import parse_quantity

    return float(parse_quantity(quantity))


def gibibytes(size: float) -> str:
    """Writes bytes as a quantity of Kubernetes, rounded up.

    Args:
        size: Bytes.
    """
    return f"{math.ceil(size / _GIBIBYTE)}Gi"
