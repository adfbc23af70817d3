"""What the routes of both APIs work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfp_llm_tuning.components.generation.tuned_model import TunedModel
    from kfp_llm_tuning.components.serving.admission import Admission
    from kfp_llm_tuning.components.serving.metrics import Metrics
    from kfp_llm_tuning.components.serving.settings import ServerSettings


@dataclass
class Service:
    """A model that is served.

    Attributes:
        settings: How it is served.
        admission: Lets requests in, so many at once.
        metrics: Counts what is answered.
        name: What clients call the model.
        model: The model; None until it is loaded.
    """

    settings: ServerSettings
    admission: Admission
    metrics: Metrics
    name: str
    model: TunedModel | None = None

    @property
    def is_broken(self) -> bool:
        """Whether the model was loaded and its engine has broken since."""
        return self.model is not None and not self.model.engine.alive
