"""Where the training file is: named directly, or exported from a managed dataset first."""

from __future__ import annotations

import logging

from kfp_llm_tuning.components.common.errors import Problem, UserError

_logger = logging.getLogger(__name__)


def export_managed_dataset(
    dataset_name: str, dataset_uri: str, regional_endpoint: str, export_directory: str = ""
) -> str:
    """Finds the data to tune on.

    Args:
        dataset_name: Resource name of a Vertex AI managed dataset, or empty.
        dataset_uri: The dataset, as `data.sources.files.list_files` takes it, or empty. One of the
            two is given.
        regional_endpoint: URL of Vertex AI in the region; empty on platforms without Vertex AI.
        export_directory: The run's own folder in Cloud Storage to export to.

    Returns:
        What dataset_uri says, or the URI of the exported JSONL file.

    Raises:
        UserError: If both are given, neither is, or the dataset cannot be exported.
    """
    if dataset_name and dataset_uri:
        raise UserError(
            Problem(
                "dataset_uri and dataset_name are both given.",
                where="dataset_name",
                allowed="one of the two",
            )
        )
    if dataset_name:
        return _exported(dataset_name, regional_endpoint, export_directory)
    if not dataset_uri:
        raise UserError(Problem("no dataset is given.", where="dataset_uri", fix="Name a file."))
    return dataset_uri


def _exported(dataset_name: str, regional_endpoint: str, export_directory: str) -> str:
    if not regional_endpoint:
        raise UserError(
            Problem(
                f"{dataset_name} is a Vertex AI managed dataset, "
                "and this platform has no Vertex AI to export it.",
                where="dataset_name",
                fix="Export it as JSONL (Vertex AI console: Datasets, Export), "
                "and give the file as dataset_uri.",
            )
        )
    if not export_directory.startswith("gs://"):
        raise UserError(
            Problem(
                f"{export_directory!r} is no folder in Cloud Storage.",
                "export_directory",
                "gs://BUCKET/FOLDER",
            )
        )
    from kfp_llm_tuning.components.dataset.vertex_dataset import export

    location = export(dataset_name, regional_endpoint, export_directory)
    _logger.info("%s is exported to %s.", dataset_name, location)
    return location
