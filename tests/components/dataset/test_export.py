from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.dataset.export import export_managed_dataset

ENDPOINT = "https://us-central1-aiplatform.googleapis.com/ui"
DATASET = "projects/1/locations/us-central1/datasets/2"


def test_a_file_is_passed_through() -> None:
    assert export_managed_dataset("", "gs://bucket/train.jsonl", "") == "gs://bucket/train.jsonl"


@pytest.mark.parametrize(
    ("name", "uri", "message"),
    [
        (DATASET, "", "Export it as JSONL"),
        (DATASET, "train.jsonl", "one of the two"),
        ("", "", "no dataset"),
    ],
)
def test_anything_else_says_what_to_do(name: str, uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        export_managed_dataset(name, uri, "")


def test_an_export_needs_a_folder() -> None:
    with pytest.raises(UserError, match="export_directory"):
        export_managed_dataset(DATASET, "", ENDPOINT, "/tmp/export")
