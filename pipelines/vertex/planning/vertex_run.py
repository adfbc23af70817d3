"""The run that is planned on Vertex AI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.pipelines.planning.planned_run import PlannedRun, Tuner

if TYPE_CHECKING:
    from kfp_llm_tuning.components.common.vertex import Vertex
    from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings


@dataclass(frozen=True)
class VertexRun(PlannedRun):
    """One on Vertex AI.

    Attributes:
        settings: The rest of the job; not necessarily valid.
        vertex: Where; None where project or region is missing.
        spec: The pipeline spec that is sent; empty where something is wrong with it.
        price: US dollars an hour of the machine, in place of the list price.
    """

    settings: JobSettings
    vertex: Vertex | None
    spec: Mapping[str, Any] = field(default_factory=dict)
    price: float | None = None

    @property
    def machine(self) -> str:
        """Name of the tuner's machine; empty where it is not settled."""
        machine = self.checked.machine if self.checked else None
        return machine.name if machine else ""

    @property
    def machine_count(self) -> int:
        """Machines that share every batch."""
        return int(self.value("tuning_machine_count"))

    @property
    def strategy(self) -> str:
        """How the machine is obtained."""
        return str(self.value("tuning_strategy")).upper() or "STANDARD"

    @property
    def tuner(self) -> Tuner:
        """The machine that is tuned on."""
        deploys = bool(self.value("deploy_model"))
        return Tuner(
            self.machine,
            strategy=self.strategy,
            price=self.price,
            deploys=deploys,
            count=self.machine_count,
        )
