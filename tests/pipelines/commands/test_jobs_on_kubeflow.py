"""``jobs list|show|cancel --platform kubeflow`` against the local Kubeflow Pipelines."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from tests.kubeflow.local_kubeflow import LocalKubeflow
from tests.pipelines.conftest import Call
from tests.vertex.runner_protocol import Event

SECOND = timedelta(seconds=1)
TUNER = ("tuning-graph", "large-language-model-tuner")


@pytest.fixture
def submit(kubeflow_server: LocalKubeflow, call: Call, run_words: list[str]) -> Callable[..., str]:
    def send(job_id: str, *words: str) -> str:
        call("submit", *run_words, "--job-id", job_id, *words)
        kubeflow_server.clock.advance(SECOND)
        return str(kubeflow_server.runs[-1]["run_id"])

    return send


def test_list(
    kubeflow_server: LocalKubeflow, call: Call, on_kubeflow: list[str], submit: Callable[..., str]
) -> None:
    first = submit("job-1")
    second = submit("job-2", "--model-display-name", "other", "--label", "team=a")
    lines = call("jobs", "list", *on_kubeflow).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["JOB", second, first]
    assert lines[1].split()[1:4] == ["pending", "tune-large-model", "other"]
    for words in (["--model", "other"], ["--label", "team=a"], ["--limit", "1"]):
        found = json.loads(call("jobs", "list", *on_kubeflow, "--json", *words).stdout)
        assert [job["model_display_name"] for job in found] == ["other"]
    chat = ["--template", "tune-large-chat-model"]
    assert call("jobs", "list", *on_kubeflow, *chat).stdout == "No jobs.\n"
    kubeflow_server.finish(first, "FAILED")
    failed = call("jobs", "list", *on_kubeflow, "--state", "failed").stdout
    assert first in failed and second not in failed


def test_cancelled_and_failed_are_told_apart(
    kubeflow_server: LocalKubeflow, call: Call, on_kubeflow: list[str], submit: Callable[..., str]
) -> None:
    failed, cancelled = submit("job-1"), submit("job-2")
    kubeflow_server.finish(failed, "FAILED")
    assert "asked to cancel job-2" in call("jobs", "cancel", "job-2", *on_kubeflow).stdout
    for state, run in (("failed", failed), ("cancelled", cancelled)):
        found = json.loads(call("jobs", "list", *on_kubeflow, "--state", state, "--json").stdout)
        assert [job["name"] for job in found] == [run]


def test_more_runs_than_a_page_holds(
    kubeflow_server: LocalKubeflow,
    call: Call,
    on_kubeflow: list[str],
    submit: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kfp_llm_tuning.pipelines.kubeflow.lists._PAGE_SIZE", 2)
    sent = [submit(f"job-{number}") for number in range(5)]
    found = json.loads(call("jobs", "list", *on_kubeflow, "--json").stdout)
    assert [job["name"] for job in found] == sent[::-1]


def test_runs_that_others_sent(
    kubeflow_server: LocalKubeflow, call: Call, on_kubeflow: list[str], tmp_path: Path
) -> None:
    from kfp import Client, compiler

    from tests.kubeflow.sample_pipelines import placeholders

    path = str(tmp_path / "placeholders.yaml")
    compiler.Compiler().compile(placeholders, path)
    with pytest.warns(FutureWarning):
        run = Client(kubeflow_server.url).create_run_from_pipeline_package(path).run_id
    kubeflow_server.report(run, Event(("tell",), "SUCCEEDED"))
    kubeflow_server.finish(run)
    (listed,) = json.loads(call("jobs", "list", *on_kubeflow, "--json").stdout)
    assert (listed["template"], listed["model"]) == ("placeholders", "")
    shown = json.loads(call("jobs", "show", run, *on_kubeflow, "--json").stdout)
    assert [task["name"] for task in shown["tasks"]] == ["tell"]
    assert "the run does not say where its model is" in shown["note"]


def test_archived_runs_are_left_out(
    kubeflow_server: LocalKubeflow, call: Call, on_kubeflow: list[str], submit: Callable[..., str]
) -> None:
    submit("job-1")
    kubeflow_server.runs[0]["storage_state"] = "ARCHIVED"
    assert call("jobs", "list", *on_kubeflow).stdout == "No jobs.\n"
    assert "pending" in call("jobs", "show", "job-1", *on_kubeflow).stdout


def test_show_tells_what_failed_and_what_to_do(
    kubeflow_server: LocalKubeflow, call: Call, on_kubeflow: list[str], submit: Callable[..., str]
) -> None:
    run = submit("job-1", "--job-name", "my run")
    kubeflow_server.report(run, Event(("validate-pipeline",), "SUCCEEDED"))
    kubeflow_server.report(run, Event(TUNER, "FAILED", error="exit code 75"))
    kubeflow_server.report(run, Event(("deployment-graph", "upload-llm-model"), "NOT_TRIGGERED"))
    kubeflow_server.finish(run, "FAILED")
    printed = call("jobs", "show", run, *on_kubeflow).stdout
    assert printed.startswith(f"{run}\n  name      my run\n  template  tune-large-model\n")
    rows = {words[0]: words[1] for line in printed.splitlines() if len(words := line.split()) > 1}
    assert rows["validate-pipeline"] == "succeeded"
    assert rows["large-language-model-tuner"] == "failed"
    assert rows["upload-llm-model"] == "not_triggered"
    assert not {"tuning-graph", "executor", "root", "validate-pipeline-driver"} & set(rows)
    assert "main: Error (exit code 75). It was interrupted after saving its state" in printed


def test_a_server_that_tells_no_reasons(
    kubeflow_server: LocalKubeflow, call: Call, on_kubeflow: list[str], submit: Callable[..., str]
) -> None:
    run = submit("job-1")
    kubeflow_server.report(run, Event(TUNER, "FAILED", error="exit code 13"))
    kubeflow_server.finish(run, "FAILED")
    kubeflow_server.faults.inject("RunService.GetRunV1", "permission", 1)
    printed = call("jobs", "show", run, *on_kubeflow).stdout
    assert "large-language-model-tuner: no reason was given. The task's log" in printed


def test_a_version_that_was_deleted(
    kubeflow_server: LocalKubeflow, call: Call, on_kubeflow: list[str], submit: Callable[..., str]
) -> None:
    run = submit("job-1")
    kubeflow_server.report(run, Event(TUNER, "RUNNING"))
    kubeflow_server.backend.versions.clear()
    printed = call("jobs", "show", run, *on_kubeflow).stdout
    assert "large-language-model-tuner  running" in printed
    assert "executor" not in printed


def test_a_registry_that_does_not_answer_is_told(
    kubeflow_server: LocalKubeflow,
    call: Call,
    on_kubeflow: list[str],
    submit: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = submit("job-1")
    kubeflow_server.finish(run)
    result = call("jobs", "show", run, *on_kubeflow, "--wait", "--poll-seconds", "0.05")
    assert result.exit_code == 0
    assert "cannot open the registry http://127.0.0.1:1" in result.stdout
    assert "evaluate-model's log says what the gate decided" in result.stdout
    assert "the gate refused the model" not in result.stdout


def test_cancel(
    kubeflow_server: LocalKubeflow, call: Call, on_kubeflow: list[str], submit: Callable[..., str]
) -> None:
    run = submit("job-1")
    printed = call("jobs", "cancel", run, *on_kubeflow).stdout
    assert printed == f"Kubeflow Pipelines was asked to cancel {run}.\n"
    assert kubeflow_server.runs[0]["state"] == "FAILED"
    with pytest.raises(UserError, match="job-1 has ended already"):
        call("jobs", "cancel", "job-1", *on_kubeflow)


@pytest.mark.parametrize("kind", ["unavailable", "reset"])
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_fault_does_not_keep_a_run_from_being_cancelled(
    kubeflow_server: LocalKubeflow,
    no_backoff: None,
    call: Call,
    on_kubeflow: list[str],
    submit: Callable[..., str],
    kind: str,
    after_commit: bool,
) -> None:
    submit("job-1")
    kubeflow_server.faults.inject("RunService.TerminateRun", kind, 1, after_commit)  # type: ignore[arg-type]
    call("jobs", "cancel", "job-1", *on_kubeflow)
    assert kubeflow_server.runs[0]["state"] == "FAILED"


def test_mistakes(call: Call, on_kubeflow: list[str], kubeflow_server: LocalKubeflow) -> None:
    for job in ("none", "A b"):
        with pytest.raises(UserError, match=f"no run has the id '{job}'"):
            call("jobs", "show", job, *on_kubeflow)
    unknown = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(UserError, match=f"could not read the run {unknown}.*not found"):
        call("jobs", "show", unknown, *on_kubeflow)
    with pytest.raises(UserError) as caught:
        call("jobs", "list", *on_kubeflow, "--project", "p", "--region", "us-central1")
    assert len(caught.value.problems) == 2
    assert "--project: is an option of Vertex AI" in str(caught.value)
    with pytest.raises(UserError, match="--host: is an option of Kubeflow"):
        call("jobs", "list", "--host", kubeflow_server.url, "--project", "p", "--region", "r")


def test_a_task_that_cannot_start_says_what_it_waits_for(
    kubeflow_server: LocalKubeflow, call: Call, on_kubeflow: list[str], submit: Callable[..., str]
) -> None:
    run = submit("job-1")
    kubeflow_server.report(run, Event(TUNER, "PENDING", error='ImagePullBackOff: image "x"'))
    told = '  ! large-language-model-tuner waits: ImagePullBackOff: image "x".'
    assert told in call("jobs", "show", "job-1", *on_kubeflow).stdout.splitlines()
    kubeflow_server.report(run, Event(TUNER, "RUNNING"))
    assert "waits" not in call("jobs", "show", "job-1", *on_kubeflow).stdout
