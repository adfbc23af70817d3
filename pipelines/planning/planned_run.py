"""The run that is planned, as far as it could be settled without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.parameters import TEMPLATES, parse

if TYPE_CHECKING:
    from kfp_llm_tuning.components.common.vertex import Vertex
    from kfp_llm_tuning.components.validation.pipeline_parameters import PipelineSettings
    from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings


@dataclass(frozen=True)
class PlannedRun:
    """The run that is planned.

    Attributes:
        template: The pipeline's name.
        values: Parameters as given; not necessarily valid.
        settings: The rest of the job; not necessarily valid.
        checked: What follows from valid parameters; None where they are not.
        image_registry: Where the images are; empty where a compiled file says it.
        vertex: Where; None where project or region is missing.
    """

    template: str
    values: Mapping[str, Any]
    settings: JobSettings
    checked: PipelineSettings | None
    image_registry: str
    vertex: Vertex | None

    def value(self, name: str) -> Any:
        """Gives a parameter's value in its own type; its default where it is none of that type."""
        parameter = TEMPLATES[self.template].get(name)
        if parameter is None:
            return ""
        try:
            return parse({name: self.values[name]}, {name: parameter})[name]
        except (KeyError, UserError):
            return parameter.default

    @property
    def machine(self) -> str:
        """Name of the tuner's machine; empty where it is not settled."""
        machine = self.checked.machine if self.checked else None
        return machine.name if machine else ""

    @property
    def strategy(self) -> str:
        """How the machine is obtained."""
        return str(self.value("tuning_strategy")).upper() or "STANDARD"
