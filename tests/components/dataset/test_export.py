from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.dataset.export import export_managed_dataset


def test_a_file_is_passed_through():
    assert export_managed_dataset("", "gs://bucket/train.jsonl", "") == "gs://bucket/train.jsonl"


@pytest.mark.parametrize(
    ("name", "uri", "message"),
    [
        ("projects/1/locations/x/datasets/2", "", "Export it as JSONL"),
        ("projects/1/locations/x/datasets/2", "train.jsonl", "one of the two"),
        ("", "", "no dataset"),
    ],
)
def test_anything_else_says_what_to_do(name, uri, message):
    with pytest.raises(UserError, match=message):
        export_managed_dataset(name, uri, "")
