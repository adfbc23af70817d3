from __future__ import annotations

from pathlib import Path

import pytest
from google.cloud import aiplatform_v1

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.vertex import Vertex
from kfp_llm_tuning.components.dataset import vertex_dataset
from kfp_llm_tuning.components.dataset.export import export_managed_dataset
from tests.vertex.local_vertex import LocalVertex

ENDPOINT = "https://us-central1-aiplatform.googleapis.com/ui"
SCHEMA = "gs://google-cloud-aiplatform/schema/dataset/metadata/{}_1.0.0.yaml"
ROWS = '{"input_text": "a", "output_text": "b"}\n'


def make_dataset(server: LocalVertex, rows: str = ROWS, kind: str = "text") -> str:
    """Makes a managed dataset of the rows; gives its resource name."""
    (server.storage_folder / "bucket" / "rows.jsonl").write_text(rows)
    client = Vertex(server.project, "us-central1").client(aiplatform_v1.DatasetServiceClient)
    dataset = aiplatform_v1.Dataset(
        display_name="rows",
        metadata_schema_uri=SCHEMA.format(kind),
        metadata={"inputConfig": {"gcsSource": {"uri": ["gs://bucket/rows.jsonl"]}}},
    )
    name: str = (
        client.create_dataset(
            parent=f"projects/{server.project}/locations/us-central1", dataset=dataset
        )
        .result()
        .name
    )
    server.requests.clear()
    return name


def path(server: LocalVertex, uri: str) -> Path:
    return server.storage_folder / uri.removeprefix("gs://")


@pytest.mark.parametrize("over", ["grpc", "rest"])
def test_exported_once(vertex_server: LocalVertex, over: str) -> None:
    name = make_dataset(vertex_server)
    endpoint = ENDPOINT if over == "grpc" else vertex_server.rest_url
    first = export_managed_dataset(name, "", endpoint, f"gs://bucket/{over}/dataset")
    assert first.startswith(f"gs://bucket/{over}/dataset/export-data-")
    assert path(vertex_server, first).read_text() == ROWS
    assert export_managed_dataset(name, "", endpoint, f"gs://bucket/{over}/dataset/") == first
    calls = [call.method for call in vertex_server.requests]
    assert calls.count("DatasetService.ExportData") == 1


def test_another_run_exports_again(vertex_server: LocalVertex) -> None:
    name = make_dataset(vertex_server)
    files = {
        export_managed_dataset(name, "", ENDPOINT, f"gs://bucket/{run}/dataset")
        for run in ("run-1", "run-10")
    }
    assert len(files) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("projects/test-project/locations/us-central1/datasets/404", "not found.*Check the name"),
        ("projects/test-project/locations/europe-west4/datasets/1", "the dataset is in europe-we"),
        ("datasets/1", "names no managed dataset"),
    ],
)
@pytest.mark.usefixtures("vertex_server")
def test_mistakes(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        export_managed_dataset(name, "", ENDPOINT, "gs://bucket/x")
    assert caught.value.problems[0].where == "dataset_name"


@pytest.mark.parametrize("kind", ["image", "time_series"])
def test_a_dataset_without_text(vertex_server: LocalVertex, kind: str) -> None:
    name = make_dataset(vertex_server, kind=kind)
    with pytest.raises(UserError, match=f"kind {kind.replace('_', ' ')}.*a text dataset"):
        export_managed_dataset(name, "", ENDPOINT, "gs://bucket/x")


def test_a_bucket_that_is_not_there(vertex_server: LocalVertex) -> None:
    name = make_dataset(vertex_server)
    with pytest.raises(UserError, match="bucket of gs://absent/x/ does not exist"):
        export_managed_dataset(name, "", ENDPOINT, "gs://absent/x")


def test_several_files_become_one(tmp_path: Path) -> None:
    for number, rows in ((2, '{"b": 2}'), (1, '{"a": 1}\n{"a": 2}\n')):
        (tmp_path / f"data-{number}.jsonl").write_text(rows)
    files = [str(file) for file in tmp_path.iterdir()]
    joined = vertex_dataset._one_file("d", [*files, "schema.yaml"], f"{tmp_path}/")
    assert Path(joined).read_text() == '{"a": 1}\n{"a": 2}\n{"b": 2}\n'


def test_an_export_without_rows() -> None:
    with pytest.raises(UserError, match="holds no JSONL file"):
        vertex_dataset._one_file("d", ["gs://b/schema.yaml"], "gs://b/")
