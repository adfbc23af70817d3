"""What a request means that does not say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kfp_llm_tuning.pipelines.requests.request import CHAT_TEMPLATE, DEFAULT_TEMPLATE, Request
from kfp_llm_tuning.pipelines.requests.request_defaults import (
    default_display_name,
    default_template,
    with_absolute_paths,
)


def test_a_model_is_called_after_its_data() -> None:
    assert default_display_name({"dataset_uri": "gs://b/folder/intents.jsonl.gz"}) == (
        "intents-tuned"
    )
    assert default_display_name({}) == "model-tuned"


@pytest.mark.parametrize(
    ("values", "template"),
    [
        ({}, DEFAULT_TEMPLATE),
        ({"large_model_reference": "byte-tiny"}, DEFAULT_TEMPLATE),
        ({"large_model_reference": "chat-bison@001"}, CHAT_TEMPLATE),
        ({"large_model_reference": "byte-tiny", "default_context": "Be kind."}, CHAT_TEMPLATE),
        ({"large_model_reference": "no such model"}, DEFAULT_TEMPLATE),
    ],
)
def test_the_template_follows_from_the_model(values: dict[str, str], template: str) -> None:
    assert default_template(values) == template


def test_local_paths_are_absolute_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "base").mkdir(parents=True)
    given = {
        "dataset_uri": "train.jsonl",
        "evaluation_data_uri": "gs://bucket/evaluation.jsonl",
        "large_model_reference": "models/base",
        "registry_uri": "no registry",
    }
    assert with_absolute_paths(Request(DEFAULT_TEMPLATE, given)).values == {
        "dataset_uri": str(tmp_path / "train.jsonl"),
        "evaluation_data_uri": "gs://bucket/evaluation.jsonl",
        "large_model_reference": str(tmp_path / "models" / "base"),
        "registry_uri": "no registry",
    }
