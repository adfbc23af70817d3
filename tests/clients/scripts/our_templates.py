"""The one adaptation of every script here: the SDK is told of templates other than the published.

`vertexai.language_models` has no argument for the template of `tune_model`; it looks the address up
by the base model in this table.
"""

from pathlib import Path

from vertexai._model_garden import _model_garden_models

_TABLE = _model_garden_models._SHORT_MODEL_ID_TO_TUNING_PIPELINE_MAP


def use(folder: str) -> None:
    """Points the SDK to the templates of a folder.

    Args:
        folder: Has tune-large-model.yaml and tune-large-chat-model.yaml.
    """
    for model, address in _TABLE.items():
        template = Path(folder, f"{Path(address).parent.name}.yaml")
        if template.is_file():
            _TABLE[model] = str(template)
