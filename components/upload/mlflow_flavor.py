"""What MLflow calls to load and serve a registered model: ``mlflow.pyfunc`` and ``mlflow models``.

Prompts are written as in training, which MLflow's own transformers flavour cannot know.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.generation.instances import text_instance
from kfp_llm_tuning.components.generation.questions import read_question
from kfp_llm_tuning.components.generation.tuned_model import TunedModel

# Parameters of a request and their defaults; 0 is the limit that the model was tuned with.
DEFAULT_PARAMETERS = {"max_output_tokens": 0}


class ServedModel:
    """The model as MLflow calls it."""

    def __init__(self, folder: Path) -> None:
        """Loads the model of a folder."""
        self._model = TunedModel(folder)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[str]:
        """Answers every row.

        Args:
            model_input: A list of texts or of rows as ``generation.questions`` reads them,
                or a pandas.DataFrame with the objects' fields as columns.
            params: As ``DEFAULT_PARAMETERS``.

        Returns:
            One text a row.

        Raises:
            UserError: If a row asks nothing.
        """
        settings = {**DEFAULT_PARAMETERS, **(params or {})}
        rows = model_input if isinstance(model_input, list) else model_input.to_dict("records")
        instances = [
            text_instance(row) if isinstance(row, str) else read_question(row) for row in rows
        ]
        answers = self._model.answer(instances, settings["max_output_tokens"])
        return [answer.content for answer in answers]


def _load_pyfunc(folder: str) -> ServedModel:
    """Loads the model; MLflow finds this function by its name."""
    return ServedModel(Path(folder))
