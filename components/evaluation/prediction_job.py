"""Batch prediction as a CustomJob on Vertex AI, on a machine that only it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kfp_llm_tuning.components.evaluation.prediction_fork import ForkedCommand, is_prepared
from kfp_llm_tuning.components.evaluation.prediction_task import Command, PredictionTask
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.models.worker_pool import without_empty, worker_pools

_LAUNCHER = "kfp_llm_tuning.components.common.custom_job_launcher"
# The launcher's record of the job.
_RECORD = "gcp_resources"


@dataclass(frozen=True)
class PredictionJob:
    """Where the job runs, and on what.

    Attributes:
        machine: A name of machine_specs.yaml; empty: the task itself predicts, in its own machine.
        image: The container's, with the engine that answers.
        project: Project that the job runs in.
        location: Region that the job runs in.
        service_account: Account that the container runs as; empty means Vertex AI's own.
        network: VPC network that the job is peered with; empty for none.
        encryption_spec_key_name: Customer-managed encryption key; used where it is of the region.
    """

    machine: str = ""
    image: str = ""
    project: str = ""
    location: str = ""
    service_account: str = ""
    network: str = ""
    encryption_spec_key_name: str = ""

    def payload(self, task: PredictionTask, display_name: str) -> str:
        """Writes the job.

        Args:
            task: What it does.
            display_name: What it is called.

        Returns:
            The CustomJob as JSON.
        """
        key = self.encryption_spec_key_name
        machine = select_machine("", self.machine, "machine", stage="predict")
        command = ["python3", *task.arguments()]
        job = {
            "display_name": display_name,
            "job_spec": {
                "worker_pool_specs": worker_pools(machine, self.image, command, self.project),
                "service_account": self.service_account,
                "network": self.network,
            },
            "encryption_spec": {
                "kms_key_name": key if f"/locations/{self.location}/" in key else "",
            },
        }
        return json.dumps(without_empty(job))

    def command(self, task: PredictionTask, output: Path, run_id: str) -> Command:
        """Gives what does the task: the job where there is a machine for it, else a process.

        The process is a copy of this one, where that is prepared for the work, or a fresh one.

        Args:
            task: The task.
            output: The predictions' folder, as it is seen here.
            run_id: Names the pipeline run.

        Returns:
            The command.
        """
        if not self.machine:
            return ForkedCommand(task) if is_prepared() else Command(task.arguments())
        which = "tuned" if task.saved_model else "base"
        output.mkdir(parents=True, exist_ok=True)
        return _Launcher(self, self.payload(task, f"batch-predict-{which}-{run_id}"), output)


class _Launcher(Command):
    """Makes the job, waits for it, and cancels it when it is asked to end."""

    tells_mistakes = False

    def __init__(self, job: PredictionJob, payload: str, folder: Path) -> None:
        self._job = job
        self._record = folder / _RECORD
        options = {
            "--type": "CustomJob",
            "--payload": payload,
            "--project": job.project,
            "--location": job.location,
            "--gcp_resources": str(self._record),
        }
        words = [word for option in options.items() for word in option]
        super().__init__(["-u", "-m", _LAUNCHER, *words])

    def reason(self, code: int) -> str:
        """Says what Vertex AI says of the job; where there is none, what is known without it."""
        if not self._record.is_file():
            place = f"{self._job.machine} in {self._job.location}"
            return f"Vertex AI did not take its job on {place}. {self.last_words}"
        name = _job_name(json.loads(self._record.read_text(encoding="utf-8")))
        return f"its job {name} on {self._job.machine} failed: {_said(self._job, name)}"


def _job_name(record: Mapping[str, list[dict[str, str]]]) -> str:
    uri = record["resources"][0]["resourceUri"]
    return uri[uri.index("projects/") :]


def _said(job: PredictionJob, name: str) -> str:
    from google.api_core import exceptions
    from google.cloud.aiplatform_v1 import JobServiceClient

    from kfp_llm_tuning.components.common.errors import UserError
    from kfp_llm_tuning.components.common.vertex import READ, Vertex

    try:
        client = Vertex(job.project, job.location).client(JobServiceClient)
        found = client.get_custom_job(name=name, **READ)
    except (exceptions.GoogleAPIError, UserError) as error:
        return f"why is not known ({error})."
    return str(found.error.message) or f"it ended as {found.state.name}."
