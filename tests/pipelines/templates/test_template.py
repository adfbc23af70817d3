"""The pipeline spec of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.images import REGISTRY
from kfp_llm_tuning.pipelines.templates.template import (
    TemplateSource,
    read_documents,
    template_documents,
    template_of,
    without_caching,
)
from kfp_llm_tuning.pipelines.vertex.platform import vertex_platform

CHECKED_IN = Path(__file__).parents[3] / "compiled" / "vertex" / "tune-large-model.yaml"


def pipeline_spec(template: str, registry: str) -> dict[str, Any]:
    (spec,) = template_documents(template, TemplateSource(registry), "vertex", vertex_platform)
    return spec


def read_pipeline_spec(path: Path, registry: str) -> dict[str, Any]:
    (spec,) = read_documents(path, registry)
    return spec


def test_compiled_on_the_spot() -> None:
    spec = pipeline_spec("tune-large-chat-model", "us-docker.pkg.dev/p/r")
    assert template_of(spec) == "tune-large-chat-model"
    assert REGISTRY not in str(spec)
    assert "us-docker.pkg.dev/p/r/kfp-llm-tuning-" in str(spec)


@pytest.mark.parametrize("registry", ["", REGISTRY])
def test_no_registry_is_refused_with_the_command(registry: str) -> None:
    with pytest.raises(UserError) as caught:
        pipeline_spec("tune-large-model", registry)
    assert "kfp-llm-tuning submit --image-registry" in str(caught.value)


@pytest.mark.parametrize("registry", ["a b", "https://x/y", "x/", "-x"])
def test_a_malformed_registry_is_refused(registry: str) -> None:
    with pytest.raises(UserError, match="is no registry"):
        pipeline_spec("tune-large-model", registry)


def test_a_file_with_the_placeholder_is_refused_with_the_command() -> None:
    with pytest.raises(UserError) as caught:
        read_pipeline_spec(CHECKED_IN, "")
    assert "kfp-llm-tuning compile --image-registry" in str(caught.value)


def test_the_placeholder_of_a_file_is_filled_in() -> None:
    spec = read_pipeline_spec(CHECKED_IN, "us-docker.pkg.dev/p/r")
    assert REGISTRY not in str(spec)
    assert "us-docker.pkg.dev/p/r/kfp-llm-tuning-" in str(spec)


def test_a_file_with_a_registry_is_taken_as_it_is(template_file: Path) -> None:
    spec = read_pipeline_spec(template_file, "")
    assert spec == yaml.load(template_file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("", "is no compiled template of ours"),
        ("pipelineInfo: {name: other}", "is no compiled template of ours"),
        ("pipelineInfo: 3", "is no compiled template of ours"),
        ("- 1", "is no compiled template of ours"),
    ],
)
def test_other_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_pipeline_spec(path, "")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_pipeline_spec(tmp_path / "none.yaml", "")


def test_without_caching(template_file: Path) -> None:
    spec = read_pipeline_spec(template_file, "")
    changed = without_caching(spec)
    dags = [
        part["dag"] for part in [changed["root"], *changed["components"].values()] if "dag" in part
    ]
    assert len(dags) > 3
    assert all(task["cachingOptions"] == {} for dag in dags for task in dag["tasks"].values())
    assert spec == read_pipeline_spec(template_file, "")
