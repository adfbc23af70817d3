"""Exports a managed dataset of Vertex AI: one export a run, found again by its folder."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from google.api_core import operation
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1.types import (
    Dataset,
    ExportDataConfig,
    ExportDataOperationMetadata,
    ExportDataResponse,
    GcsDestination,
)

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import locate, open_input
from kfp_llm_tuning.components.common.vertex import ONCE, READ, Vertex, ensure, wait
from kfp_llm_tuning.components.common.vertex_errors import explained

_NAME = re.compile(r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/datasets/[^/]+")
_BLOCK_BYTES = 2**20
# The schemas of datasets that hold no text; text and multimodal ones do.
_WITHOUT_TEXT = re.compile(r"/(image|video|tabular|time_series)_[\d.]+\.yaml$")

_logger = logging.getLogger(__name__)


def export(dataset_name: str, regional_endpoint: str, export_directory: str) -> str:
    """Exports a dataset unless an earlier try of the run has done so.

    Args:
        dataset_name: ``projects/../locations/../datasets/ID``.
        regional_endpoint: URL of Vertex AI in the region.
        export_directory: The run's own folder in Cloud Storage.

    Returns:
        URI of one JSONL file.

    Raises:
        UserError: If the dataset is in another region, holds no text, has no rows, or Vertex AI
            refuses.
    """
    vertex = _vertex(dataset_name, regional_endpoint)
    client = vertex.client(aiplatform_v1.DatasetServiceClient)
    with explained(f"read the dataset {dataset_name}", "dataset_name"):
        dataset = client.get_dataset(name=dataset_name, **READ)
    _check_kind(dataset)
    folder = export_directory.rstrip("/") + "/"
    exported = ensure(
        lambda: _earlier_export(client, dataset_name, folder),
        lambda: client.export_data(
            name=dataset_name,
            export_config=ExportDataConfig(
                gcs_destination=GcsDestination(output_uri_prefix=folder)
            ),
            **ONCE,
        ),
        f"export the dataset {dataset_name} to {folder}",
        "dataset_name",
    )
    return _one_file(dataset_name, exported.resource.exported_files, folder)


def _vertex(dataset_name: str, regional_endpoint: str) -> Vertex:
    match = _NAME.fullmatch(dataset_name)
    if not match:
        raise UserError(
            Problem(
                f"{dataset_name!r} names no managed dataset.",
                "dataset_name",
                "projects/PROJECT/locations/REGION/datasets/ID",
            )
        )
    region = re.match(r"([a-z0-9-]+)-aiplatform\.", urlsplit(regional_endpoint).netloc)
    if region and region[1] != match["location"]:
        raise UserError(
            Problem(
                f"the dataset is in {match['location']}, the pipeline's models in {region[1]}.",
                "dataset_name",
                f"a dataset in {region[1]}",
                "Give its rows as dataset_uri instead, or run the pipeline where the dataset is.",
            )
        )
    return Vertex(match["project"], match["location"], regional_endpoint)


def _check_kind(dataset: Dataset) -> None:
    kind = _WITHOUT_TEXT.search(dataset.metadata_schema_uri)
    if kind:
        raise UserError(
            Problem(
                f"{dataset.display_name} is a dataset of the kind {kind[1].replace('_', ' ')}.",
                "dataset_name",
                "a text dataset",
            )
        )


def _earlier_export(
    client: aiplatform_v1.DatasetServiceClient, dataset_name: str, folder: str
) -> ExportDataResponse | None:
    """Finds the export to the run's folder among the dataset's operations, and waits for it."""
    for found in _operations(client, dataset_name):
        if _exports_to(found, folder):
            started = operation.from_gapic(  # type: ignore[no-untyped-call]
                found, client.transport.operations_client, ExportDataResponse
            )
            result: ExportDataResponse = wait(started, f"export the dataset {dataset_name}")
            return result
    return None


def _operations(client: aiplatform_v1.DatasetServiceClient, dataset_name: str) -> Iterator[Any]:
    token = ""
    while True:
        page = client.list_operations({"name": dataset_name, "page_token": token}, **ONCE)
        yield from page.operations
        token = page.next_page_token
        if not token:
            return


def _exports_to(found: Any, folder: str) -> bool:
    kind = ExportDataOperationMetadata.pb().DESCRIPTOR
    if found.HasField("error") or not found.metadata.Is(kind):
        return False
    metadata = ExportDataOperationMetadata.deserialize(found.metadata.value)
    result = ExportDataResponse.deserialize(found.response.value)
    places = [metadata.gcs_output_directory, *result.exported_files]
    return any(place.startswith(folder) for place in places)


def _one_file(dataset_name: str, exported_files: Iterable[str], folder: str) -> str:
    files = sorted(name for name in exported_files if name.endswith((".jsonl", ".jsonl.gz")))
    if not files:
        raise UserError(
            Problem(
                f"the export of {dataset_name} to {folder} holds no JSONL file.",
                "dataset_name",
                "a text dataset with rows",
            )
        )
    return files[0] if len(files) == 1 else _joined(files, f"{folder}dataset.jsonl")


def _joined(files: list[str], target: str) -> str:
    filesystem, path = locate(target)
    # One after the other: a dataset may be larger than memory. The object appears when it is whole.
    with filesystem.open(path, "wb") as joined:
        for name in files:
            last = b"\n"
            with open_input(name) as part:
                while block := part.read(_BLOCK_BYTES):
                    joined.write(block)
                    last = block[-1:]
            if last != b"\n":
                joined.write(b"\n")
    _logger.info("The export's %d files are joined in %s.", len(files), target)
    return target
