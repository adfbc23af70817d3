"""Copies between this machine and any URI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest

from kfp_llm_tuning.components.common import storage, transfers


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
    transfers.mirror_directory(source, remote)
    transfers.download_directory(remote, tmp_path / "target")
    found = {
        str(path.relative_to(tmp_path / "target")): path.read_text(encoding="utf-8")
        for path in (tmp_path / "target").rglob("*")
        if path.is_file()
    }
    assert found == read(remote) == {"a": "a", "inner/b": "inner/b", "marker": "marker"}


def test_a_mirror_deletes_what_is_stale(source: Path, remote: str) -> None:
    transfers.mirror_directory(source, remote, last=["marker"])
    (source / "a").unlink()
    (source / "inner" / "b").write_text("new", encoding="utf-8")
    transfers.mirror_directory(source, remote, last=["marker"])
    assert read(remote) == {"inner/b": "new", "marker": "marker"}


def test_the_marker_goes_first_and_comes_last(
    source: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfers.mirror_directory(source, remote, last=["marker", "never"])
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
    transfers.mirror_directory(source, remote, last=["marker", "never"])
    assert calls == [
        "rm_file marker",
        "put_file c",
        "put_file inner/b",
        "rm_file a",
        "put_file marker",
    ]


def test_matching_names_and_deleted_folders(source: Path, remote: str) -> None:
    assert transfers.matching(remote, "*/marker") == []
    for name in ("step-1", "step-2"):
        transfers.mirror_directory(source, f"{remote}/{name}")
    transfers.upload_file(source / "a", f"{remote}/step-3/a")
    transfers.download_file(f"{remote}/step-3/a", source / "copy")
    assert (source / "copy").read_text(encoding="utf-8") == "a"
    assert transfers.exists(f"{remote}/step-3/a")
    assert not transfers.exists(f"{remote}/step-3/b")
    assert sorted(transfers.matching(remote, "step-*/marker")) == ["step-1/marker", "step-2/marker"]
    transfers.delete_directory(f"{remote}/step-1", first="marker")
    transfers.delete_directory(f"{remote}/step-9", first="marker")
    assert transfers.matching(remote, "step-*/marker") == ["step-2/marker"]
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
        transfers.mirror_directory(source, f"{uri}/step-1", last=["marker"])
    assert sorted(transfers.matching(folder, "step-*/marker")) == ["step-1/marker"]
    assert transfers.exists(f"{folder}/step-1/a")
    transfers.download_directory(f"{folder}/step-1", tmp_path / "copy")
    assert (tmp_path / "copy/inner/b").read_text(encoding="utf-8") == "inner/b"
    transfers.upload_file(source / "a", f"{folder}/{name}")
    with storage.open_input(f"{folder}/{name}") as stream:
        assert stream.read() == b"a"
    storage.file_state(f"{folder}/{name}")
    transfers.delete_directory(f"{folder}/step-1", first="marker")
    assert read(folder) == {name: "a"}
    assert len(read(f"{neighbour}/step-1")) == 3


def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.store["/outside/../b"] = filesystem.open("/x", "wb")
    try:
        with pytest.raises(ValueError, match="leads out of the folder"):
            transfers.download_directory("memory://outside", tmp_path / "copy")
    finally:
        del filesystem.store["/outside/../b"]


def test_a_missing_folder_is_not_an_empty_one(remote: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        transfers.download_directory(f"{remote}/none", tmp_path / "copy")


@pytest.mark.parametrize("failures", [1, 4])
def test_what_may_pass_is_tried_again(
    source: Path,
    remote: str,
    failures: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pauses = failing_uploads(monkeypatch, remote, [ConnectionError("reset")] * failures)
    transfers.mirror_directory(source, remote)
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
        transfers.mirror_directory(source, remote, last=["marker"])
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
    monkeypatch.setattr(transfers.time, "sleep", pauses.append)
    return pauses
