"""What a run has beside its template and its parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_llm_tuning.pipelines.kubeflow.run_settings import (
    RunNote,
    RunSettings,
    path_problems,
    settings_problems,
    settle,
)
from kfp_llm_tuning.pipelines.requests.request import Request

VALUES = {"model_display_name": "router", "dataset_uri": "s3://b/t.jsonl"}


def settled(request: Request | None = None, namespace: str = "", **fields: str) -> RunSettings:
    request = request or Request("tune-large-model", VALUES)
    return settle(request, RunSettings(**fields), namespace)[1]


def test_names_come_from_what_is_nearest() -> None:
    assert settled().display_name == "router"
    assert settled(display_name="mine").display_name == "mine"
    assert settled(Request("tune-large-model", VALUES, display_name="x")).display_name == "x"
    assert settled(Request("tune-large-model", {})).display_name == "tune-large-model"
    assert settled().job_id.startswith("tune-large-model-2")


@pytest.mark.parametrize(("namespace", "project"), [("", "kubeflow"), ("team-a", "team-a")])
def test_the_project_that_a_template_needs(namespace: str, project: str) -> None:
    request, _, _ = settle(Request("tune-large-model", VALUES), RunSettings(), namespace)
    assert request.values["project"] == project


def test_the_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", raising=False)
    assert settled().experiment == "Default"
    monkeypatch.setenv("KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", "mine")
    assert settled().experiment == "mine"
    assert settled(experiment="given").experiment == "given"


@given(st.text(max_size=50), st.dictionaries(st.text(max_size=10), st.text(max_size=10)))
def test_a_note_is_read_as_it_was_written(key: str, labels: dict[str, str]) -> None:
    assert RunNote.parse(str(RunNote(key, labels))) == RunNote(key, labels)


@pytest.mark.parametrize("text", [None, "", "my run", "[]", "3", '{"a": 1}', '"x"', "null"])
def test_what_others_wrote_is_no_note(text: str | None) -> None:
    assert RunNote.parse(text) == RunNote("")


@pytest.mark.parametrize("account", ["", "tuner", "default-editor", "a.b"])
def test_accounts_of_kubernetes(account: str) -> None:
    assert settings_problems(settled(service_account=account)) == []


@pytest.mark.parametrize("root", ["", "minio://mlpipeline/v2", "s3://bucket/runs", "gs://b/r"])
def test_roots(root: str) -> None:
    assert settings_problems(settled(pipeline_root=root)) == []


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"service_account": "a@b"}, "--service-account"),
        ({"service_account": "-a"}, "--service-account"),
        ({"pipeline_root": "/data"}, "--pipeline-root"),
        ({"pipeline_root": "file:///data"}, "--pipeline-root"),
        ({"job_id": "My job"}, "--job-id"),
        ({"display_name": "a\nb"}, "--job-name"),
        ({"experiment": "x" * 129}, "--experiment"),
    ],
)
def test_what_is_wrong(fields: dict[str, str], where: str) -> None:
    (problem,) = settings_problems(settled(**fields))
    assert problem.where == where


@pytest.mark.parametrize(
    ("uri", "wrong"),
    [
        ("train.jsonl", True),
        ("./data/train.jsonl", True),
        ("/mnt/data/train.jsonl", False),
        ("s3://bucket/train.jsonl", False),
        ("", False),
    ],
)
def test_paths(uri: str, wrong: bool) -> None:
    assert bool(path_problems({"dataset_uri": uri})) == wrong
