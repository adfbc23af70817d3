"""Where the training file is: named directly, or exported from a managed dataset first."""

from __future__ import annotations

from kfp_llm_tuning.components.common.errors import Problem, UserError


def export_managed_dataset(dataset_name: str, dataset_uri: str, regional_endpoint: str) -> str:
    """Finds the JSONL file to tune on.

    Exporting a managed dataset needs Vertex AI, which this platform has not: that branch is the one
    to fill in there.

    Args:
        dataset_name: Resource name of a Vertex AI managed dataset, or empty.
        dataset_uri: URI of a JSONL file, or empty. One of the two is given.
        regional_endpoint: API endpoint that knows the managed dataset; empty without Vertex AI.

    Returns:
        URI of the JSONL file.

    Raises:
        UserError: If both are given, neither is, or the dataset is a managed one.
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
        endpoint = f" (endpoint {regional_endpoint})" if regional_endpoint else ""
        raise UserError(
            Problem(
                f"{dataset_name} is a Vertex AI managed dataset{endpoint}, "
                "and this platform has no Vertex AI to export it.",
                where="dataset_name",
                fix="Export it as JSONL (Vertex AI console: Datasets, Export), "
                "and give the file as dataset_uri.",
            )
        )
    if not dataset_uri:
        raise UserError(
            Problem("no dataset is given.", where="dataset_uri", fix="Name a JSONL file.")
        )
    return dataset_uri
