"""Finding and deleting registered models."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.registry_location import database_file
from kfp_llm_tuning.components.tracking.connection import connect
from kfp_llm_tuning.components.upload.catalogue import (
    delete,
    download,
    find_version,
    list_versions,
)
from kfp_llm_tuning.components.upload.mlflow_registry import Upload, deploy, register
from kfp_llm_tuning.components.upload.names import parse_address


@pytest.fixture
def two_versions(upload: Upload) -> str:
    """The URI of a registry with intents@1, deployed, and intents@2."""
    deploy(register(upload), upload.registry_uri)
    register(dataclasses.replace(upload, run_id="run-2", labels={"team": "sales"}))
    return upload.registry_uri


def test_list_is_sorted_newest_version_first(two_versions: str, upload: Upload) -> None:
    register(dataclasses.replace(upload, run_id="run-3", display_name="alerts"))
    found = list_versions(two_versions)
    assert [version.resource_name for version in found] == [
        "models/alerts@1",
        "models/intents@2",
        "models/intents@1",
    ]
    assert [version.deployed for version in found] == [False, False, True]
    assert {version.base_model for version in found} == {"text-bison-002"}


def test_list_by_label(two_versions: str) -> None:
    (found,) = list_versions(two_versions, {"team": "sales"})
    assert found.version == 2
    assert list_versions(two_versions, {"team": "nobody"}) == []


@pytest.mark.parametrize(
    ("text", "version"),
    [("intents", 1), ("intents@2", 2), ("models:/intents/2", 2), ("intents@deployed", 1)],
)
def test_find_version(two_versions: str, text: str, version: int) -> None:
    assert find_version(two_versions, parse_address(text)).version == version


def test_newest_where_none_is_deployed(upload: Upload) -> None:
    register(upload)
    register(dataclasses.replace(upload, run_id="run-2"))
    assert find_version(upload.registry_uri, parse_address("intents")).version == 2


def test_unknown_name_gets_the_nearest(two_versions: str) -> None:
    with pytest.raises(UserError, match="Did you mean intents"):
        find_version(two_versions, parse_address("intent"))
    with pytest.raises(UserError, match="models list"):
        find_version(two_versions, parse_address("zzzzzzzz"))


@pytest.mark.parametrize("text", ["intents@9", "intents@0", "intents@nowhere"])
def test_unknown_version_gets_the_known_ones(two_versions: str, text: str) -> None:
    with pytest.raises(UserError, match="versions 1, 2"):
        find_version(two_versions, parse_address(text))


def test_no_registry_is_told_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no registry at"):
        list_versions(f"sqlite:///{tmp_path}/none/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_download_is_the_store_itself(two_versions: str, upload: Upload) -> None:
    version = find_version(two_versions, parse_address("intents"))
    folder = download(two_versions, version)
    assert folder == Path(version.location.removeprefix("file://"))
    assert (folder / "model.safetensors").read_bytes() == b"weights" * 1000


def test_download_of_what_is_gone(two_versions: str, tmp_path: Path) -> None:
    version = find_version(two_versions, parse_address("intents"))
    gone = dataclasses.replace(version, location=(tmp_path / "gone").as_uri())
    with pytest.raises(UserError, match="are not at"):
        download(two_versions, gone)


def test_deleted_version_takes_its_run_and_files(two_versions: str) -> None:
    version = find_version(two_versions, parse_address("intents@1"))
    delete(two_versions, [version])
    assert not Path(version.location.removeprefix("file://")).parent.exists()
    assert connect(two_versions).get_run(version.run_id).info.lifecycle_stage == "deleted"
    (left,) = list_versions(two_versions)
    assert left.version == 2
    assert (download(two_versions, left) / "MLmodel").is_file()


def test_last_version_takes_the_model(two_versions: str) -> None:
    delete(two_versions, list_versions(two_versions))
    assert list_versions(two_versions) == []
    assert not list(connect(two_versions).search_registered_models())


def test_run_that_two_models_share_is_kept_until_the_last(upload: Upload) -> None:
    register(upload)
    register(dataclasses.replace(upload, display_name="copy"))
    delete(upload.registry_uri, [find_version(upload.registry_uri, parse_address("copy"))])
    version = find_version(upload.registry_uri, parse_address("intents"))
    assert (download(upload.registry_uri, version) / "MLmodel").is_file()


def test_upload_after_deletion_registers_again(two_versions: str, upload: Upload) -> None:
    delete(two_versions, list_versions(two_versions))
    assert register(upload) == "models/intents@1"


def test_model_of_another_tool_is_listed(two_versions: str, tmp_path: Path) -> None:
    client = connect(two_versions)
    client.create_registered_model("it's theirs")
    client.create_model_version("it's theirs", source=tmp_path.as_uri())
    (theirs,) = [v for v in list_versions(two_versions) if v.name == "it's theirs"]
    assert (theirs.base_model, theirs.run_id, theirs.metrics) == ("", "", {})


def test_a_registry_that_was_moved_finds_its_weights(
    two_versions: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = database_file(two_versions)
    assert made is not None
    moved = made.parent.with_name("a new name, 100 % of it")
    made.parent.rename(moved)
    uri = f"sqlite:///{moved}/mlflow.db"
    version = find_version(uri, parse_address("intents"))
    folder = download(uri, version)
    assert folder.is_relative_to(moved)
    assert (folder / "config.json").is_file()
    assert "The registry was moved from" in caplog.text
    assert not made.parent.exists()
    caplog.clear()
    delete(uri, list_versions(uri))
    assert not folder.exists()
    assert "was moved" not in caplog.text


def test_a_copy_of_a_registry_deletes_its_own_weights_alone(two_versions: str) -> None:
    made = database_file(two_versions)
    assert made is not None
    kept = download(two_versions, list_versions(two_versions)[0])
    copy = shutil.copytree(made.parent, made.parent.with_name("copy"))
    uri = f"sqlite:///{copy}/mlflow.db"
    assert download(uri, list_versions(uri)[0]).is_relative_to(copy)
    delete(uri, list_versions(uri))
    assert (kept / "config.json").is_file()
