"""Names that mean more to fsspec, to gcsfs or in a URL: to us every one of them is a name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gcsfs.core import GCSFileSystem

from kfp_llm_tuning.components.common import storage, transfers
from kfp_llm_tuning.components.data.formats.published import PUBLISHED_TEXT
from kfp_llm_tuning.components.data.reading.findings import Findings
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rows import TextRow
from kfp_llm_tuning.components.evaluation.evaluate import Copies, publish
from kfp_llm_tuning.components.tuning.places import TuningPlaces
from kfp_llm_tuning.components.tuning.staging import staged
from tests.vertex.storage import StorageServer

every_name = pytest.mark.parametrize(
    "name", ["a?generation=1", "[ab]", "a*b", "#1", "100%2F b+c&d=ü", "a::b"]
)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the objects of gs://data."""
    with StorageServer(tmp_path / "storage") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        monkeypatch.setattr(transfers, "_PAUSES", ())
        # One that was made for another server would be taken again.
        GCSFileSystem.clear_instance_cache()
        yield server.create_bucket("data")
        GCSFileSystem.clear_instance_cache()


@every_name
def test_a_dataset_is_read(bucket: Path, name: str) -> None:
    object_path = bucket / name / f"{name}.jsonl"
    object_path.parent.mkdir()
    object_path.write_text('{"input_text": "a", "output_text": "b"}\n', encoding="utf-8")
    (bucket / "ab").mkdir()
    rows: list[object] = []
    findings = Findings(10)
    uri = f"gs://data/{name}/{name}.jsonl"
    scan(uri, PUBLISHED_TEXT, findings, lambda _, row: rows.append(row))
    assert (rows, findings.counts) == ([TextRow("a", "b")], {})
    assert storage.file_state(uri)


@every_name
def test_the_tuner_fetches_and_publishes(bucket: Path, name: str) -> None:
    folder = bucket / name
    (folder / "train").mkdir(parents=True)
    (folder / "train" / f"{name}.json").write_text("{}")
    (bucket / "ab" / "model").mkdir(parents=True)
    (bucket / "ab" / "model" / "neighbour").write_text("")
    (folder / "model").mkdir()
    (folder / "model" / "stale").write_text("")
    at = f"gs://data/{name}"
    places = TuningPlaces(f"{at}/train", "", f"{at}/model", f"{at}/metrics", f"{at}/kept")
    with staged(places) as staging:
        assert [path.name for path in staging.paths.train_dataset.iterdir()] == [f"{name}.json"]
        for path in (staging.paths.output, staging.paths.metrics):
            (path / name).mkdir(parents=True)
            (path / name / name).write_text(path.name)
        (staging.paths.output / "tuning.json").write_text("{}")
    assert _files(folder / "model") == {f"{name}/{name}", "tuning.json"}
    assert (folder / "metrics" / name / name).read_text() == "metrics"
    assert _files(bucket / "ab") == {"model/neighbour"}


@every_name
def test_an_evaluation_is_copied(bucket: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "evaluation" / name).mkdir(parents=True)
    (tmp_path / "evaluation" / name / "report.html").write_text("report")
    copies = Copies(f"gs://data/{name}", "run-1")
    publish({name: tmp_path / "evaluation"}, copies)
    assert _files(bucket) == {f"{name}/run-1/{name}/{name}/report.html"}
    transfers.delete_directory(f"gs://data/{name}", first="report.html")
    assert _files(bucket) == set()


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
