"""The Vertex AI CustomJob that tunes, as JSON in two parts.

Only the service knows where the tuner's outputs go, and only when the launcher's task starts. So
the payload is cut where the two URIs belong, and the launcher's container puts it together::

    {"display_name": "...", FIRST saved_model.uri ", "--metrics", " tensorboard_metrics.uri SECOND
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kfp_llm_tuning.components.models.implemented import tuner_image
from kfp_llm_tuning.components.models.machine_specs import MachineSpec
from kfp_llm_tuning.components.models.worker_pool import without_empty, worker_pools

COMMAND = ("python3", "-m", "kfp_llm_tuning.components.tuning")
# What stands between the URIs of the two outputs.
BETWEEN_OUTPUTS = '", "--metrics", "'
# Takes the place of a URI until the text is cut; no value of a job has it in itself.
_CUT = "output-uri-6b1f0c9e"
# The output of the machines beside the first, which alone writes: their own disk.
_NOWHERE = "/tmp/kfp-llm-tuning-output"
# Says which model a job is spent on; the launcher adds the labels of the run.
_MODEL_LABEL = "kfp-llm-tuning-model"


@dataclass(frozen=True)
class CustomJob:
    """All that the job needs; an empty value leaves the choice to Vertex AI.

    Attributes:
        machine: The machine; None where there are no jobs.
        image_registry: Where the tuner's images are.
        payload: The tuner's arguments, a JSON object.
        train_dataset: URI of the encoded training set.
        evaluation_dataset: URI of the encoded evaluation set.
        checkpoints: URI of the folder that a restarted job finds its checkpoints in.
        project: Project that the container's Google clients work in.
        service_account: Account that the container runs as.
        network: VPC network that the job is peered with.
        network_attachment: Private Service Connect attachment; takes the place of ``network``.
        persistent_resource_id: Machines kept for several jobs.
        encryption_spec_key_name: Customer-managed encryption key.
        strategy: STANDARD, SPOT or FLEX_START.
        max_wait: Longest wait for a machine of FLEX_START, such as 3600s.
        timeout: Longest time of the job, such as 86400s.
        restart_on_preemption: Start the job again when its machine is taken away.
        tensorboard: Vertex AI TensorBoard that shows the curves while the job runs, where it is
            in the job's region.
        model_label: The model that is tuned, in the letters of a label.
        machine_count: Machines that share every batch.
    """

    machine: MachineSpec | None
    image_registry: str
    payload: str
    train_dataset: str
    evaluation_dataset: str
    checkpoints: str = ""
    project: str = ""
    service_account: str = ""
    network: str = ""
    network_attachment: str = ""
    persistent_resource_id: str = ""
    encryption_spec_key_name: str = ""
    strategy: str = ""
    max_wait: str = ""
    timeout: str = ""
    restart_on_preemption: bool = False
    tensorboard: str = ""
    model_label: str = ""
    machine_count: int = 1

    def payload_parts(self) -> tuple[str, str]:
        """Writes the job's JSON without its display name and the URIs of its outputs.

        Returns:
            The part before the URI of the saved model, and the part after that of the metrics;
            both empty where there are no jobs.

        Raises:
            UserError: If no image tunes on the machine.
        """
        if self.machine is None:
            return "", ""
        job = {
            "job_spec": self._spec(self.machine),
            "labels": {_MODEL_LABEL: self.model_label},
            "encryption_spec": {"kms_key_name": self.encryption_spec_key_name},
        }
        first, _, second = json.dumps(without_empty(job)).removeprefix("{").split(_CUT)
        return first, second

    def _spec(self, machine: MachineSpec) -> dict[str, Any]:
        tensorboard = self._live_tensorboard(machine)
        return {
            "worker_pool_specs": self._worker_pools(machine),
            "scheduling": self._scheduling(),
            "service_account": self.service_account,
            "network": "" if self.network_attachment else self.network,
            "psc_interface_config": {"network_attachment": self.network_attachment},
            "persistent_resource_id": self.persistent_resource_id,
            "tensorboard": tensorboard,
            # Vertex AI shows the curves in logs/ below it.
            "base_output_directory": {"output_uri_prefix": self.checkpoints if tensorboard else ""},
        }

    def _live_tensorboard(self, machine: MachineSpec) -> str:
        """Gives the TensorBoard where a job may have one: of its own region, with an account."""
        is_near = f"/locations/{machine.region}/" in self.tensorboard
        return self.tensorboard if is_near and self.service_account else ""

    def _worker_pools(self, machine: MachineSpec) -> list[dict[str, Any]]:
        image = tuner_image(machine.accelerator, self.image_registry)
        command = [*COMMAND, *self._arguments({"--output": _CUT, "--metrics": _CUT})]
        pools = worker_pools(machine, image, command, self.project, self.machine_count)
        for workers in pools[1:]:
            # They write nothing, and each URI has one place in the payload.
            arguments = self._arguments({"--output": _NOWHERE})
            workers["container_spec"] = {**workers["container_spec"], "args": arguments}
        return pools

    def _arguments(self, outputs: dict[str, str]) -> list[str]:
        """Arguments of the tuner's command; the outputs come last, where the payload is cut."""
        options = {
            "--payload": self.payload,
            "--train-dataset": self.train_dataset,
            "--evaluation-dataset": self.evaluation_dataset,
            "--checkpoints": self.checkpoints,
            **outputs,
        }
        return [word for option in options.items() if option[1] for word in option]

    def _scheduling(self) -> dict[str, Any]:
        return {
            "timeout": self.timeout,
            "restart_job_on_worker_restart": self.restart_on_preemption,
            "strategy": self.strategy,
            "max_wait_duration": self.max_wait if self.strategy == "FLEX_START" else "",
        }
