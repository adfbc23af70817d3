"""Files by URI, and what is said when they cannot be read."""

from __future__ import annotations

import gzip
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


def test_folders_travel_whole(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "a").write_text("1", encoding="utf-8")
    (source / "inner" / "b").write_text("2", encoding="utf-8")
    storage.upload_directory(source, "memory://folder")
    storage.download_directory("memory://folder", tmp_path / "target")
    assert (tmp_path / "target" / "a").read_text(encoding="utf-8") == "1"
    assert (tmp_path / "target" / "inner" / "b").read_text(encoding="utf-8") == "2"


def test_atomic_write_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    storage.write_atomically(path, "first")
    storage.write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_failed_atomic_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    storage.write_atomically(path, "old")
    with pytest.raises(TypeError):
        storage.write_atomically(path, 5)  # type: ignore[arg-type]
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("uri", "local"),
    [("/a/b", True), ("a", True), ("file:///a", True), ("gs://a/b", False), ("s3://a", False)],
)
def test_local_uris(uri: str, local: bool) -> None:
    assert storage.is_local(uri) is local


def test_join() -> None:
    assert storage.join("gs://bucket/", "/a", "b/") == "gs://bucket/a/b"
