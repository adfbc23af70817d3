from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.validation.data_version import data_version


@pytest.fixture
def training(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    return path


def test_the_version_changes_with_the_file_alone(training: Path) -> None:
    first = data_version(dataset_uri=str(training), evaluation_data_uri="")
    training.read_bytes()
    assert data_version(dataset_uri=str(training), evaluation_data_uri="") == first
    os.utime(training, (1, 1))
    assert data_version(dataset_uri=str(training), evaluation_data_uri="") != first


def test_the_version_changes_with_the_evaluation_set(training: Path) -> None:
    uri = "memory://versions/evaluation.jsonl"
    versions = {data_version(dataset_uri=str(training), evaluation_data_uri="")}
    for content in (b"{}", b"{} {}"):
        with fsspec.open(uri, "wb") as stream:
            stream.write(content)
        versions.add(data_version(dataset_uri=str(training), evaluation_data_uri=uri))
    assert len(versions) == 3


def test_without_files_there_is_no_version() -> None:
    assert data_version(dataset_uri="", evaluation_data_uri="") == ""


def test_every_missing_file_is_told(tmp_path: Path) -> None:
    missing = str(tmp_path / "gone.jsonl")
    with pytest.raises(UserError) as caught:
        data_version(dataset_uri=missing, evaluation_data_uri=str(tmp_path))
    told = [str(problem) for problem in caught.value.problems]
    assert told[0].startswith(f"dataset_uri: no file at {missing}.")
    assert told[1].startswith(f"evaluation_data_uri: {tmp_path} has no file of rows.")


def test_every_file_of_a_set_counts(training: Path, tmp_path: Path) -> None:
    further = tmp_path / "more.jsonl"
    further.write_text("{}\n", encoding="utf-8")
    both = f"{training},{further}"
    versions = {data_version(dataset_uri=uri) for uri in (str(training), both)}
    os.utime(further, (1, 1))
    versions |= {data_version(dataset_uri=both), data_version(dataset_uri=f"{tmp_path}/*.jsonl")}
    assert len(versions) == 4
