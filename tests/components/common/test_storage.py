"""Files by URI, and what is said when they cannot be read."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

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


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of three files, of which marker says that it is whole."""
    folder = tmp_path / "source"
    (folder / "inner").mkdir(parents=True)
    for name in ("a", "inner/b", "marker"):
        (folder / name).write_text(name, encoding="utf-8")
    return folder


# Whatever fsspec would take for a pattern, for a chain of URIs, or for more than a name.
ODD_NAMES = ["a*b", "a?b", "[ab]", "[!a", "a::b", "simplecache::b", "100%25 #1", "~none", "a\nb"]


@pytest.fixture(params=["memory", "local"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place at a URI."""
    if request.param == "memory":
        return f"memory://{tmp_path.name}/remote"
    return f"local://{tmp_path}/remote"


def read(uri: str) -> dict[str, str]:
    """Reads every file below a URI."""
    filesystem, root = storage.locate(uri)
    return {
        path.removeprefix(f"{root}/"): filesystem.cat_file(path).decode()
        for path in filesystem.find(root)
    }


def test_folders_travel_whole(source: Path, remote: str, tmp_path: Path) -> None:
    storage.mirror_directory(source, remote)
    storage.download_directory(remote, tmp_path / "target")
    found = {
        str(path.relative_to(tmp_path / "target")): path.read_text(encoding="utf-8")
        for path in (tmp_path / "target").rglob("*")
        if path.is_file()
    }
    assert found == read(remote) == {"a": "a", "inner/b": "inner/b", "marker": "marker"}


def test_a_mirror_deletes_what_is_stale(source: Path, remote: str) -> None:
    storage.mirror_directory(source, remote, last=["marker"])
    (source / "a").unlink()
    (source / "inner" / "b").write_text("new", encoding="utf-8")
    storage.mirror_directory(source, remote, last=["marker"])
    assert read(remote) == {"inner/b": "new", "marker": "marker"}


def test_the_marker_goes_first_and_comes_last(
    source: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.mirror_directory(source, remote, last=["marker", "never"])
    filesystem, root = fsspec.core.url_to_fs(remote)
    calls: list[str] = []

    def note(method: str, subject: int) -> None:
        do = getattr(filesystem, method)

        def noted(*paths: str, **keywords: Any) -> None:
            calls.append(f"{method} {paths[subject].removeprefix(f'{root}/')}")
            do(*paths, **keywords)

        monkeypatch.setattr(filesystem, method, noted)

    note("put_file", 1)
    note("rm_file", 0)
    (source / "a").rename(source / "c")
    storage.mirror_directory(source, remote, last=["marker", "never"])
    assert calls == [
        "rm_file marker",
        "put_file c",
        "put_file inner/b",
        "rm_file a",
        "put_file marker",
    ]


def test_matching_names_and_deleted_folders(source: Path, remote: str) -> None:
    assert storage.matching(remote, "*/marker") == []
    for name in ("step-1", "step-2"):
        storage.mirror_directory(source, f"{remote}/{name}")
    storage.upload_file(source / "a", f"{remote}/step-3/a")
    storage.download_file(f"{remote}/step-3/a", source / "copy")
    assert (source / "copy").read_text(encoding="utf-8") == "a"
    assert storage.exists(f"{remote}/step-3/a")
    assert not storage.exists(f"{remote}/step-3/b")
    assert sorted(storage.matching(remote, "step-*/marker")) == ["step-1/marker", "step-2/marker"]
    storage.delete_directory(f"{remote}/step-1", first="marker")
    storage.delete_directory(f"{remote}/step-9", first="marker")
    assert storage.matching(remote, "step-*/marker") == ["step-2/marker"]
    assert "step-3/a" in read(remote)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (base, name)
        for base in ("{}", "file://{}", "memory:/{}")
        for name in ODD_NAMES
        # A URI of a scheme that is not known to be a store's may be a chain.
        if "::" not in name or not base.startswith("memory")
    ],
)
def test_a_name_is_never_more_than_a_name(
    source: Path, tmp_path: Path, base: str, name: str
) -> None:
    folder = f"{base.format(tmp_path)}/{name}"
    neighbour = base.format(tmp_path) + "/ab"
    for uri in (folder, neighbour):
        storage.mirror_directory(source, f"{uri}/step-1", last=["marker"])
    assert sorted(storage.matching(folder, "step-*/marker")) == ["step-1/marker"]
    assert storage.exists(f"{folder}/step-1/a")
    storage.download_directory(f"{folder}/step-1", tmp_path / "copy")
    assert (tmp_path / "copy/inner/b").read_text(encoding="utf-8") == "inner/b"
    storage.upload_file(source / "a", f"{folder}/{name}")
    with storage.open_input(f"{folder}/{name}") as stream:
        assert stream.read() == b"a"
    storage.file_state(f"{folder}/{name}")
    storage.delete_directory(f"{folder}/step-1", first="marker")
    assert read(folder) == {name: "a"}
    assert len(read(f"{neighbour}/step-1")) == 3


def test_an_object_of_a_store_opens_no_other() -> None:
    _, path = storage.locate("s3://bucket/a::b/c[1]?*/")
    assert path == "bucket/a::b/c[1]?*"


def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.store["/outside/../b"] = filesystem.open("/x", "wb")
    try:
        with pytest.raises(ValueError, match="leads out of the folder"):
            storage.download_directory("memory://outside", tmp_path / "copy")
    finally:
        del filesystem.store["/outside/../b"]


def test_a_missing_folder_is_not_an_empty_one(remote: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.download_directory(f"{remote}/none", tmp_path / "copy")


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


@pytest.mark.parametrize("failures", [1, 4])
def test_what_may_pass_is_tried_again(
    source: Path,
    remote: str,
    failures: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pauses = failing_uploads(monkeypatch, remote, [ConnectionError("reset")] * failures)
    storage.mirror_directory(source, remote)
    assert len(read(remote)) == 3
    assert len(pauses) == failures
    assert pauses == sorted(pauses)
    assert "ConnectionError: reset. Trying again" in caplog.text


@pytest.mark.parametrize(
    ("error", "tries"), [(ConnectionError("reset"), 4), (PermissionError("denied"), 0)]
)
def test_what_does_not_pass_is_raised(
    source: Path, remote: str, error: Exception, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = failing_uploads(monkeypatch, remote, [error] * 9)
    with pytest.raises(type(error)):
        storage.mirror_directory(source, remote, last=["marker"])
    assert len(pauses) == tries
    assert "marker" not in read(remote)


def failing_uploads(
    monkeypatch: pytest.MonkeyPatch, uri: str, errors: list[Exception]
) -> list[float]:
    """Makes uploads fail with the errors, one each, and gives the pauses that are made."""
    filesystem, _ = fsspec.core.url_to_fs(uri)
    put_file = filesystem.put_file

    def failing(source: str, path: str, **keywords: Any) -> None:
        if errors:
            raise errors.pop()
        put_file(source, path, **keywords)

    monkeypatch.setattr(filesystem, "put_file", failing)
    pauses: list[float] = []
    monkeypatch.setattr(storage.time, "sleep", pauses.append)
    return pauses


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


def test_what_fails_at_a_place_is_told_with_the_place() -> None:
    with (
        pytest.raises(UserError) as caught,
        storage.failures_told("write gs://b/o", "output", "Try again."),
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
    path = f"{tmp_path}/gcs/bucket/folder/train.jsonl"
    assert not storage.is_local(path)
    assert storage.without_mount(path) == "gs://bucket/folder/train.jsonl"
    assert storage.locate(path)[1] == "bucket/folder/train.jsonl"
    (tmp_path / "gcs" / "bucket").mkdir(parents=True)
    assert storage.is_local(path)
    assert storage.locate(path)[1] == path
    assert storage.bucket_uri(path) == "gs://bucket/folder/train.jsonl"
    assert storage.is_local(f"{tmp_path}/gcs/") and storage.is_local("/tmp/gcs/bucket")
