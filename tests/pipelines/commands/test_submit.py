"""``submit`` against the local Vertex AI."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.cli import cli
from kfp_llm_tuning.pipelines.commands import job_waiting
from tests.pipelines.conftest import REGISTRY, Call
from tests.vertex.faults import Kind
from tests.vertex.local_vertex import LocalVertex
from tests.vertex.runner_protocol import Event

JOB = "projects/test-project/locations/us-central1/pipelineJobs/job-1"
MODEL = "projects/test-project/locations/us-central1/models/router@1"
ENDPOINT = "projects/test-project/locations/us-central1/endpoints/1"
OUTPUTS = {"model_resource_name": MODEL, "endpoint_resource_name": ENDPOINT}


def the_job(server: LocalVertex) -> dict[str, Any]:
    (job,) = server.resources("pipelineJobs")
    return job


def test_a_job_is_sent(vertex_server: LocalVertex, call: Call, job_words: list[str]) -> None:
    words = ["--service-account", "tuner@test-project.iam.gserviceaccount.com", "--label", "team=a"]
    printed = call("submit", *job_words, *words, "--job-id", "job-1").stdout
    job = the_job(vertex_server)
    assert job["name"] == JOB
    assert job["serviceAccount"] == "tuner@test-project.iam.gserviceaccount.com"
    assert job["labels"]["team"] == "a"
    assert job["runtimeConfig"]["parameterValues"]["model_display_name"] == "router"
    assert printed.startswith(f"{JOB}\nhttps://console.cloud.google.com/")
    assert f"kfp-llm-tuning jobs show {JOB} --wait" in printed


def test_sent_again_it_is_not_started_again(
    vertex_server: LocalVertex, call: Call, job_words: list[str]
) -> None:
    for _ in range(2):
        assert JOB in call("submit", *job_words, "--job-id", "job-1").stdout
    the_job(vertex_server)


@pytest.mark.parametrize("kind", ["unavailable", "reset", "duplicate"])
def test_a_fault_after_commit_makes_no_second_job(
    vertex_server: LocalVertex, no_backoff: None, call: Call, job_words: list[str], kind: Kind
) -> None:
    vertex_server.faults.inject("PipelineService.CreatePipelineJob", kind, 1, after_commit=True)
    call("submit", *job_words)
    the_job(vertex_server)


def test_an_error_tells_the_id_that_leads_to_the_job(
    vertex_server: LocalVertex,
    no_backoff: None,
    call: Call,
    job_words: list[str],
) -> None:
    for method in ("CreatePipelineJob", "GetPipelineJob"):
        vertex_server.faults.inject(f"PipelineService.{method}", "reset", 1000, after_commit=True)
    result = CliRunner().invoke(cli, ["submit", *job_words])
    assert "could not start the job" in str(result.exception)
    job_id = result.stderr.partition("Add --job-id ")[2].partition(" ")[0]
    vertex_server.faults.clear()
    call("submit", *job_words, "--job-id", job_id)
    assert the_job(vertex_server)["name"].endswith(job_id)


def test_the_published_request_with_a_template_compiled_now(
    vertex_server: LocalVertex, call: Call, shared_data: Path
) -> None:
    request = shared_data.parent / "contract" / "requests" / "rest_text.json"
    call("submit", "--request", str(request), "--image-registry", REGISTRY)
    job = the_job(vertex_server)
    key = "projects/my-project/locations/us-central1/keyRings/ring/cryptoKeys/key"
    assert job["encryptionSpec"] == {"kmsKeyName": key}
    assert f"{REGISTRY}/kfp-llm-tuning-" in json.dumps(job["pipelineSpec"])


def test_an_experiment_gets_the_run(
    vertex_server: LocalVertex, call: Call, job_words: list[str]
) -> None:
    call("submit", *job_words, "--job-id", "job-1", "--experiment", "trials")
    contexts = {one["name"]: one for one in vertex_server.resources("contexts")}
    (run,) = [one for name, one in contexts.items() if name.endswith("/job-1")]
    assert any(parent.endswith("/trials") for parent in run["parentContexts"])


def test_a_persistent_resource(
    vertex_server: LocalVertex, call: Call, job_words: list[str]
) -> None:
    words = ["--persistent-resource", "machines", "--job-id", "job-1"]
    dry = call("submit", *job_words, *words, "--dry-run")
    runtime = json.loads(dry.stdout)["runtimeConfig"]["defaultRuntime"]
    name = "projects/test-project/locations/us-central1/persistentResources/machines"
    assert runtime == {"persistentResourceRuntimeDetail": {"persistentResourceName": name}}
    assert "/v1beta1/projects/test-project/" in dry.stderr
    call("submit", *job_words, *words)
    assert the_job(vertex_server)["name"] == JOB


def test_nothing_is_sent_when_something_is_wrong(
    vertex_server: LocalVertex, call: Call, job_words: list[str]
) -> None:
    wrong = ["--seed", "-1", "--pipeline-root", "bucket", "--label", "Team=a"]
    with pytest.raises(UserError, match="seed"):
        call("submit", *job_words, *wrong)
    with pytest.raises(UserError) as caught:
        call("submit", *job_words, *wrong[2:])
    assert len(caught.value.problems) == 2
    assert vertex_server.requests == []


@pytest.mark.parametrize(
    "words",
    [
        ["submit"],
        ["submit", "--dry-run"],
        ["schedule", "create", "--cron", "0 9 * * 1", "--time-zone", "Europe/Berlin"],
    ],
)
@pytest.mark.parametrize("asked", [["--accelerator-type", "TPU"], ["--region", "europe-west4"]])
def test_what_nothing_tunes_on_is_not_sent(
    vertex_server: LocalVertex,
    call: Call,
    job_words: list[str],
    words: list[str],
    asked: list[str],
) -> None:
    with pytest.raises(UserError, match="no engine of this version tunes on TPU") as caught:
        call(*words, *job_words, *asked)
    (problem,) = caught.value.problems
    assert problem.fix == "Give accelerator_type=GPU: then tuning runs in us-central1."
    assert vertex_server.requests == []


def test_no_registry_is_told_with_the_command(call: Call, job_words: list[str]) -> None:
    with pytest.raises(UserError, match="kfp-llm-tuning submit --image-registry"):
        call("submit", *job_words[:-2])


@pytest.mark.parametrize("api", ["curl", "the client"])
def test_the_dry_run_prints_what_is_sent(
    vertex_server: LocalVertex, call: Call, job_words: list[str], tmp_path: Path, api: str
) -> None:
    dry = call("submit", *job_words, "--job-id", "job-1", "--dry-run")
    assert vertex_server.requests == []
    body = json.loads(dry.stdout)
    if api == "curl":
        if not shutil.which("curl"):
            pytest.skip("no curl")
        path = tmp_path / "request.json"
        path.write_text(dry.stdout, encoding="utf-8")
        url = dry.stderr.rpartition("'https://us-central1-aiplatform.googleapis.com")[2].strip(
            "'\n"
        )
        subprocess.run(
            [
                *("curl", "-sS", "--fail-with-body", "-X", "POST"),
                *("-H", "Authorization: Bearer x", "-H", "Content-Type: application/json"),
                *("-H", "X-Local-Vertex-Host: us-central1-aiplatform.googleapis.com"),
                *("-d", f"@{path}", vertex_server.rest_url + url),
            ],
            check=True,
        )
    else:
        call("submit", *job_words, "--job-id", "job-1")
    job = the_job(vertex_server)
    assert job["name"] == JOB
    for field in ("displayName", "runtimeConfig", "pipelineSpec"):
        assert job[field] == body[field]


def follow(server: LocalVertex, events: list[Event]) -> threading.Thread:
    """Lets a job that will be there take a course, while the command watches it."""

    def run() -> None:
        while JOB not in server.store:
            time.sleep(0.01)
        for event in events:
            server.report(JOB, event)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


UPLOAD = ("deployment-graph", "upload-llm-model")


@pytest.mark.parametrize(
    ("events", "code", "texts"),
    [
        (
            [
                Event(("validate-pipeline",), "SUCCEEDED"),
                Event(UPLOAD, "SUCCEEDED", output_parameters=OUTPUTS),
                Event((), "SUCCEEDED", output_parameters=OUTPUTS),
            ],
            0,
            ["✓ validate-pipeline", "✓ upload-llm-model", MODEL, ENDPOINT, "models show"],
        ),
        ([Event((), "SUCCEEDED")], 3, ["Not registered: the gate refused the model"]),
        (
            [
                Event(("validate-dataset",), "FAILED", error="a non-zero status of 1."),
                Event((), "FAILED", error="The DAG failed."),
            ],
            1,
            ["✗ validate-dataset", "A mistake in data or parameters"],
        ),
        (
            [
                Event(("batch-predict",), "FAILED", error="a non-zero status of 13."),
                Event((), "FAILED", error="The DAG failed."),
            ],
            13,
            ["✗ batch-predict", "A fault of kfp-llm-tuning"],
        ),
        ([Event((), "CANCELLED")], 1, ["Cancelled after"]),
    ],
)
def test_waiting_shows_tasks_and_ends_as_run_does(
    vertex_server: LocalVertex,
    call: Call,
    job_words: list[str],
    events: list[Event],
    code: int,
    texts: list[str],
) -> None:
    thread = follow(vertex_server, events)
    words = ["--job-id", "job-1", "--wait", "--poll-seconds", "0.05"]
    result = call("submit", *job_words, *words)
    thread.join()
    assert result.exit_code == code
    for text in [*texts, "https://console.cloud.google.com"]:
        assert text in result.stdout


def test_a_look_that_fails_does_not_end_the_waiting(
    vertex_server: LocalVertex, no_backoff: None, call: Call, job_words: list[str]
) -> None:
    call("submit", *job_words, "--job-id", "job-1")
    vertex_server.finish(JOB)
    vertex_server.faults.inject("PipelineService.GetPipelineJob", "unavailable", 3)
    place = ["--project", "test-project", "--region", "us-central1", "--poll-seconds", "0.05"]
    assert call("jobs", "show", "job-1", *place, "--wait").exit_code == 3
    assert vertex_server.faults.waiting == []


@pytest.mark.parametrize(("terminal", "answer"), [(False, ""), (True, "n\n"), (True, "y\n")])
def test_interrupted_waiting_keeps_the_job(
    vertex_server: LocalVertex,
    call: Call,
    job_words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    answer: str,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kfp_llm_tuning.pipelines.jobs.job_watch.watch", interrupt)
    monkeypatch.setattr(job_waiting, "_in_terminal", lambda: terminal)
    result = call("submit", *job_words, "--job-id", "job-1", "--wait", answer=answer)
    assert result.exit_code == 75
    assert f"kfp-llm-tuning jobs cancel {JOB}" in result.stdout
    cancelled = the_job(vertex_server)["state"] == "PIPELINE_STATE_CANCELLED"
    assert cancelled == (answer == "y\n")


def test_a_real_ctrl_c(vertex_server: LocalVertex, job_words: list[str]) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "kfp_llm_tuning.pipelines.cli", "submit", *job_words),
            *("--job-id", "job-1", "--wait", "--poll-seconds", "0.1"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A shell that started the suite in the background makes it ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == JOB
    process.stdout.readline()
    vertex_server.report(JOB, Event(("validate-pipeline",), "RUNNING"))
    assert "validate-pipeline" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "The job goes on" in printed
