"""Files by URI, and what is said when they cannot be read."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path

import fsspec
import pytest

from kfp_llm_tuning.components.common import storage
from kfp_llm_tuning.components.common.errors import UserError


def test_plain_gzip_and_memory_files_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    with fsspec.open("memory://a.jsonl", "wb") as stream:
        stream.write(b"{}\n")
    uris = [str(tmp_path / "a.jsonl"), f"file://{tmp_path}/a.jsonl.gz", "memory://a.jsonl"]
    for uri in uris:
        with storage.open_input(uri) as stream:
            assert stream.read() == b"{}\n"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("missing.jsonl", "dataset_uri: no file at .*missing.jsonl. Check the path"),
        ("", "dataset_uri: .* is a folder. Allowed: one JSONL file"),
        ("nosuch://x/y", "dataset_uri: cannot read nosuch://x/y"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, uri: str, message: str) -> None:
    target = uri if "://" in uri else str(tmp_path / uri)
    with (
        pytest.raises(UserError, match=message),
        storage.open_input(target, where="dataset_uri"),
    ):
        pass


def test_an_object_of_a_store_opens_no_other() -> None:
    _, path = storage.locate("s3://bucket/a::b/c[1]?*/")
    assert path == "bucket/a::b/c[1]?*"


@pytest.mark.parametrize("name", ["file", "file/below", "x" * 300, "a\0b"])
def test_a_folder_that_cannot_be_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output-dir: cannot write to the folder") as caught:
        storage.make_folder(tmp_path / name, "--output-dir")
    (problem,) = caught.value.problems
    assert str(problem).isprintable()
    assert len(str(problem)) < 500


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\udcff"])
def test_a_file_that_cannot_be_is_told(name: str, tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="dataset_uri: ") as caught,
        storage.open_input(str(tmp_path / name), "dataset_uri"),
    ):
        pass
    (problem,) = caught.value.problems
    assert str(problem).isprintable()
    assert len(str(problem)) < 500


@pytest.mark.parametrize(
    ("uri", "local"),
    [("/a/b", True), ("a", True), ("file:///a", True), ("gs://a/b", False), ("s3://a", False)],
)
def test_local_uris(uri: str, local: bool) -> None:
    assert storage.is_local(uri) is local


def test_join() -> None:
    assert storage.join("gs://bucket/", "/a", "b/") == "gs://bucket/a/b"


def test_what_fails_at_a_place_is_told_with_the_place() -> None:
    with (
        pytest.raises(UserError) as caught,
        storage.failures_explained("write gs://b/o", "output", "Try again."),
    ):
        raise RuntimeError("quota")
    (problem,) = caught.value.problems
    assert str(problem) == "output: cannot write gs://b/o (RuntimeError: quota). Try again."


@pytest.mark.parametrize("uri", ["", " "])
def test_an_empty_name_names_no_file(uri: str) -> None:
    with (
        pytest.raises(UserError, match="dataset_uri: no file is named"),
        storage.open_input(uri, "dataset_uri"),
    ):
        pass


def test_a_mounted_path_is_the_object_of_the_bucket(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_MOUNT", f"{tmp_path}/gcs/")
    # Else gcsfs looks for credentials of this machine, for which it asks Google.
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    path = f"{tmp_path}/gcs/bucket/folder/train.jsonl"
    assert not storage.is_local(path)
    assert storage.without_mount(path) == "gs://bucket/folder/train.jsonl"
    assert storage.locate(path)[1] == "bucket/folder/train.jsonl"
    (tmp_path / "gcs" / "bucket").mkdir(parents=True)
    assert storage.is_local(path)
    assert storage.locate(path)[1] == path
    assert storage.bucket_uri(path) == "gs://bucket/folder/train.jsonl"
    assert storage.is_local(f"{tmp_path}/gcs/") and storage.is_local("/tmp/gcs/bucket")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("{}/new/folder", ""),
        ("file://{}", ""),
        ("gs://bucket/a?b", ""),
        ("{}/file/below", "{}/file is a file"),
        ("{}/" + "a" * 300, "File name too long"),
        ("{}/new/" + "a" * 300, "File name too long"),
        ("gs://", "no bucket is named"),
        ("nope://a/b", "ValueError: Protocol not known: nope"),
    ],
)
def test_a_folder_that_could_not_be_written_is_told(tmp_path: Path, uri: str, reason: str) -> None:
    (tmp_path / "file").touch()
    assert storage.why_not_writable(uri.format(tmp_path)) == reason.format(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_service_that_is_not_reached_is_told_without_trying_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        with pytest.raises(UserError, match=r"gs://b/o: 127.0.0.1 is not reached .*refused"):
            storage.check_reachable("gs://b/o", "dataset_uri")
        listener.listen()
        storage.check_reachable("gs://b/o")
        storage.check_reachable("/gcs/b/o")
    storage.check_reachable("memory://b/o")
    storage.check_reachable("train.jsonl")
