"""DatasetService: datasets whose rows are the JSONL files that were imported, and their export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.cloud import aiplatform_v1
from google.protobuf import json_format
from google.protobuf.message import Message

from tests.vertex import errors
from tests.vertex.backend import Backend, Call, handles, require
from tests.vertex.services import generic

Dataset = aiplatform_v1.Dataset.pb()


@handles("DatasetService.CreateDataset")
def create_dataset(call: Call, request: Any) -> Message:
    """Store a new dataset."""
    require(request, "dataset.display_name", "dataset.metadata_schema_uri")
    return generic.create(call, request)


@handles("DatasetService.ImportData")
def import_data(call: Call, request: Any) -> Message:
    """Add files to a dataset."""
    dataset = call.store.fetch(request.name, Dataset)
    require(request, "import_configs")
    uris = [uri for config in request.import_configs for uri in config.gcs_source.uris]
    for uri in uris:
        if not _path(call.backend, uri).is_file():
            raise errors.invalid(f"There is no file {uri}.")
    call.backend.imported_files.setdefault(dataset.name, []).extend(uris)
    return call.operation(dataset.name, aiplatform_v1.ImportDataResponse.pb()())


@handles("DatasetService.ExportData")
def export_data(call: Call, request: Any) -> Message:
    """Write a dataset's rows as JSONL below the destination."""
    dataset = call.store.fetch(request.name, Dataset)
    prefix = request.export_config.gcs_destination.output_uri_prefix
    if not prefix.startswith("gs://"):
        raise errors.invalid(f"Invalid gcs_destination.output_uri_prefix {prefix!r}: not gs://.")
    rows = "".join(_read_rows(call.backend, dataset))
    stamp = call.backend.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    folder = f"{prefix.rstrip('/')}/export-data-{dataset.name.rsplit('/', 1)[-1]}-{stamp}"
    uri = f"{folder}/data-00001-of-00001.jsonl"
    target = _path(call.backend, uri)
    if not _bucket(call.backend, uri).is_dir():
        raise errors.invalid(f"The bucket of {prefix} does not exist.")
    target.parent.mkdir(parents=True)
    target.write_text(rows, encoding="utf-8")
    response = aiplatform_v1.ExportDataResponse.pb()(exported_files=[uri])
    return call.operation(dataset.name, response)


def _read_rows(backend: Backend, dataset: Any) -> list[str]:
    """The rows of the imported files and of those that the dataset's metadata names."""
    uris = [*backend.imported_files.get(dataset.name, []), *_uris_of_metadata(dataset)]
    texts = [_path(backend, uri).read_text(encoding="utf-8") for uri in uris]
    return [text if text.endswith("\n") else f"{text}\n" for text in texts if text]


def _uris_of_metadata(dataset: Any) -> list[str]:
    metadata = json_format.MessageToDict(dataset.metadata)
    source = metadata.get("inputConfig", {}).get("gcsSource", {}) if metadata else {}
    uri = source.get("uri", [])
    return [uri] if isinstance(uri, str) else list(uri)


def _path(backend: Backend, uri: str) -> Path:
    return backend.storage_folder / uri.removeprefix("gs://")


def _bucket(backend: Backend, uri: str) -> Path:
    return backend.storage_folder / uri.removeprefix("gs://").split("/")[0]
