"""Where on Vertex AI a command works."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.vertex.place import regional_url, vertex_at


def test_options_say_the_place() -> None:
    vertex = vertex_at("p", "us-central1", "aiplatform.googleapis.com/ui")
    assert vertex.parent == "projects/p/locations/us-central1"
    assert vertex.host == "us-central1-aiplatform.googleapis.com"


def test_a_full_resource_name_says_it_too() -> None:
    vertex = vertex_at("", "", "x.com", "projects/q/locations/europe-west4/pipelineJobs/j")
    assert vertex.parent == "projects/q/locations/europe-west4"


def test_a_whole_url_is_left_as_it_is() -> None:
    assert regional_url("us-central1", "http://127.0.0.1:1") == "http://127.0.0.1:1"


def test_what_is_missing_is_told_together() -> None:
    with pytest.raises(UserError) as caught:
        vertex_at("", "", "x.com", "job-1")
    assert [problem.where for problem in caught.value.problems] == ["--project", "--region"]


def test_an_unknown_region() -> None:
    with pytest.raises(UserError, match="Did you mean us-central1?"):
        vertex_at("p", "us-centrl1", "x.com")
