"""All that is wrong with a request is told at once, whoever finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.commands.request_options import RequestSource, gather_request
from kfp_llm_tuning.pipelines.requests.request_check import checked_parameters


def told(tmp_path: Path, **given: Any) -> list[str]:
    """Where each problem of a request lies that is given as options, YAML, REST body and labels."""
    (tmp_path / "request.json").write_text(given.get("body", "{}"), encoding="utf-8")
    (tmp_path / "parameters.yaml").write_text(given.get("yaml", ""), encoding="utf-8")
    source = RequestSource(
        request_file=tmp_path / "request.json" if "body" in given else None,
        params=tmp_path / "parameters.yaml" if "yaml" in given else None,
        options={"project": "local", **given.get("options", {})},
        template=None,
        labels=given.get("labels", ()),
    )
    with pytest.raises(UserError) as caught:
        checked_parameters(gather_request(source), {"platform": "local"})
    return [problem.where.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_options_files_labels_and_the_pipelines_own_checks_are_told_together(
    tmp_path: Path,
) -> None:
    body = """{"runtimeConfig": {"parameterValues": {"tuning_method": "none", "seed": "x"}},
               "labels": {"a": 1}, "network": 7}"""
    assert sorted(
        told(
            tmp_path,
            body=body,
            yaml="learning_rate_multiplier: -1\nevaluation_interval: [1]\nunknown_one: 2\n",
            options={"accelerator_type": "NPU", "gate_metric": "exact_match"},
            labels=("no-pair",),
        )
    ) == sorted(
        [
            "request.json: labels",
            "request.json: network",
            "--label",
            "seed",
            "evaluation_interval",
            "unknown_one",
            "accelerator_type",
            "dataset_uri",
            "gate_metric",
            "learning_rate_multiplier",
            "tuning_method",
        ]
    )


def test_a_file_that_cannot_be_read_does_not_hide_the_rest(tmp_path: Path) -> None:
    found = told(tmp_path, yaml="a: [", options={"dataset_uri": "d.jsonl", "train_steps": "none"})
    assert found == ["parameters.yaml", "train_steps"]


def test_a_value_of_a_wrong_type_is_told_once(tmp_path: Path) -> None:
    assert told(tmp_path, yaml="dataset_uri: [1]\nmodel_display_name: 3\n") == [
        "dataset_uri",
        "model_display_name",
    ]
