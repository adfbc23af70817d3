"""``submit --platform kubeflow`` against the local Kubeflow Pipelines."""

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
from kfp_llm_tuning.pipelines.kubeflow import service
from kfp_llm_tuning.pipelines.kubeflow.registered_model import RegisteredModel
from tests.kubeflow.local_kubeflow import LocalKubeflow
from tests.pipelines.conftest import REGISTRY, Call
from tests.vertex.faults import Kind
from tests.vertex.runner_protocol import Event

MODEL, ENDPOINT = "models/router@1", "models:/router@deployed"


def the_run(server: LocalKubeflow) -> dict[str, Any]:
    (run,) = server.runs
    return run


def test_a_run_is_sent(kubeflow_server: LocalKubeflow, call: Call, run_words: list[str]) -> None:
    words = ["--service-account", "tuner", "--label", "team=a", "--experiment", "trials"]
    printed = call("submit", *run_words, *words, "--job-id", "job-1").stdout
    run = the_run(kubeflow_server)
    assert run["display_name"] == "router"
    assert run["service_account"] == "tuner"
    assert json.loads(run["description"]) == {"kfp-llm-tuning": "job-1", "labels": {"team": "a"}}
    parameters = run["runtime_config"]["parameters"]
    assert (parameters["model_display_name"], parameters["project"]) == ("router", "kubeflow")
    experiment = kubeflow_server.backend.experiments[run["experiment_id"]]
    assert experiment["display_name"] == "trials"
    url = f"{kubeflow_server.url}/#/runs/details/{run['run_id']}"
    assert printed.startswith(f"{run['run_id']}\n{url}\n")
    assert f"jobs show {run['run_id']} --platform kubeflow --host {kubeflow_server.url}" in printed


def test_the_pipeline_is_registered_once_for_each_content(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str]
) -> None:
    for words in ([], ["--train-steps", "5"], ["--no-caching"]):
        call("submit", *run_words, *words)
    (pipeline,) = kubeflow_server.backend.pipelines.values()
    assert pipeline["display_name"] == "tune-large-model"
    first, second = kubeflow_server.backend.versions.values()
    assert first.package.platform["platforms"].keys() == {"kubernetes"}
    ids = [run["pipeline_version_reference"]["pipeline_version_id"] for run in kubeflow_server.runs]
    assert ids == [first.message["pipeline_version_id"]] * 2 + [
        second.message["pipeline_version_id"]
    ]
    tasks = second.package.spec["root"]["dag"]["tasks"].values()
    assert all(task["cachingOptions"] == {} for task in tasks)


def test_compiled_now_with_the_cluster_s_options(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str], tmp_path: Path
) -> None:
    options = tmp_path / "options.yaml"
    options.write_text("mlflow_tracking_uri: http://mlflow:5000\npod_labels: {team: a}\n")
    words = [*run_words[:-2], "--options", str(options), "--image-registry", REGISTRY]
    call("submit", *words, "--label", "team=b")
    (version,) = kubeflow_server.backend.versions.values()
    assert '"podMetadata": {"labels": {"team": "a"}}' in json.dumps(version.package.platform)
    assert "http://mlflow:5000" in json.dumps(version.package.spec)
    assert REGISTRY in json.dumps(version.package.spec)


def test_sent_again_it_is_not_started_again(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str]
) -> None:
    for _ in range(2):
        assert call("submit", *run_words, "--job-id", "job-1").exit_code == 0
    the_run(kubeflow_server)
    with pytest.raises(UserError, match="the id of another run"):
        call("submit", *run_words, "--job-id", "job-1", "--train-steps", "7")


CREATE = "RunService.CreateRun"


@pytest.mark.parametrize("kind", ["unavailable", "reset", "duplicate"])
@pytest.mark.parametrize(
    "method",
    [
        CREATE,
        "ExperimentService.CreateExperiment",
        "PipelineService.CreatePipeline",
        "PipelineUploadService.UploadPipelineVersion",
    ],
)
def test_a_fault_after_commit_makes_nothing_twice(
    kubeflow_server: LocalKubeflow,
    no_backoff: None,
    call: Call,
    run_words: list[str],
    kind: Kind,
    method: str,
) -> None:
    kubeflow_server.faults.inject(method, kind, 1, after_commit=True)
    printed = call("submit", *run_words, "--experiment", "trials").stdout
    run = the_run(kubeflow_server)
    assert printed.startswith(run["run_id"])
    backend = kubeflow_server.backend
    assert len(backend.pipelines) == len(backend.versions) == 1
    assert kubeflow_server.faults.waiting == []


@pytest.mark.parametrize("kind", ["unavailable", "quota", "reset"])
def test_every_call_may_fail_before_it_did_anything(
    kubeflow_server: LocalKubeflow, no_backoff: None, call: Call, run_words: list[str], kind: Kind
) -> None:
    call("submit", *run_words, "--experiment", "trials")
    methods = {request.method for request in kubeflow_server.requests}
    assert len(methods) > 7
    kubeflow_server.backend.clear()
    for method in methods:
        kubeflow_server.faults.inject(method, kind, 2)
    call("submit", *run_words, "--experiment", "trials")
    the_run(kubeflow_server)
    assert kubeflow_server.faults.waiting == []


def test_an_error_tells_the_id_that_leads_to_the_run(
    kubeflow_server: LocalKubeflow, no_backoff: None, call: Call, run_words: list[str]
) -> None:
    call("submit", *run_words)  # the pipeline is there
    for method in (CREATE, "RunService.ListRuns"):
        kubeflow_server.faults.inject(method, "reset", 1000, after_commit=True)
    result = CliRunner().invoke(cli, ["submit", *run_words])
    assert "could not start the run" in str(result.exception)
    job_id = result.stderr.partition("Add --job-id ")[2].partition(" ")[0]
    kubeflow_server.faults.clear()
    call("submit", *run_words, "--job-id", job_id)
    keys = [json.loads(run["description"])["kfp-llm-tuning"] for run in kubeflow_server.runs]
    assert keys.count(job_id) == 1


def test_the_published_request(
    kubeflow_server: LocalKubeflow, call: Call, on_kubeflow: list[str], shared_data: Path,
    kubeflow_template_file: Path,
) -> None:  # fmt: skip
    request = shared_data.parent / "contract" / "requests" / "rest_text.json"
    words = ["--template-file", str(kubeflow_template_file), "--accelerator-type", ""]
    result = call("submit", *on_kubeflow, "--request", str(request), *words)
    assert "serviceAccount of the request has no effect on Kubeflow." in result.stderr
    run = the_run(kubeflow_server)
    assert run["runtime_config"]["pipeline_root"].startswith("gs://")


def test_many_users(kubeflow_server: LocalKubeflow, call: Call, run_words: list[str]) -> None:
    backend = kubeflow_server.backend
    backend.multi_user, backend.namespaces, backend.token = True, {"team-a"}, "secret"
    with pytest.raises(UserError, match=r"no user identity.*Give --token"):
        call("submit", *run_words)
    with pytest.raises(UserError, match="Give --namespace"):
        call("submit", *run_words, "--token", "secret")
    with pytest.raises(UserError, match=r"not authorized in the namespace team-b.*--namespace"):
        call("submit", *run_words, "--token", "secret", "--namespace", "team-b")
    call("submit", *run_words, "--token", "secret", "--namespace", "team-a")
    run = the_run(kubeflow_server)
    assert run["namespace"] == "team-a"
    assert run["runtime_config"]["parameters"]["project"] == "team-a"
    (pipeline,) = backend.pipelines.values()
    assert pipeline["namespace"] == "team-a"


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--evaluation-interval", "0"], ["evaluation_interval"]),
        (["--job-id", "A b", "--service-account", "a@b"], ["--job-id", "--service-account"]),
        (["--dataset-uri", "train.jsonl"], ["dataset_uri: 'train.jsonl' is relative"]),
        (["--dataset-name", "projects/p/locations/l/datasets/1", "--dataset-uri", ""],
         ["managed datasets are Vertex AI's"]),
        (["--label", f"a={'b' * 300}"], ["--label"]),
        (["--experiment", "x" * 200, "--job-name", "y" * 300], ["--experiment", "--job-name"]),
        (["--pipeline-root", "/data"], ["--pipeline-root"]),
        (["--accelerator-type", "GPU"], ["compiled for a machine without an accelerator"]),
        (["--token", "a b", "--ca-file", "none.pem"], ["--token", "--ca-file"]),
        (["--host", "kubeflow.example.com"], ["--host: 'kubeflow.example.com' is no URL"]),
        (["--kube-context", "x"], ["--host, --kube-context"]),
        (["--options", "options.yaml"], ["--options, --template-file"]),
        (["--template", "tune-large-chat-model"], ["is tune-large-model, but the request is for"]),
        (["--region", "us-central1", "--network", "n", "--persistent-resource", "m",
          "--reserved-ip-range", "r"],
         ["--region: is an option of Vertex AI", "--network", "--persistent-resource",
          "--reserved-ip-range"]),
        (["--evaluation-interval", "0", "--job-id", "A b", "--token", "a b", "--seed", "-1"],
         ["evaluation_interval", "--job-id", "--token", "seed"]),
    ],
)  # fmt: skip
def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_sent(
    kubeflow_server: LocalKubeflow,
    call: Call,
    run_words: list[str],
    words: list[str],
    messages: list[str],
) -> None:
    with pytest.raises(UserError) as caught:
        call("submit", *run_words, *words)
    for message in messages:
        assert message in str(caught.value)
    assert len(caught.value.problems) >= len(messages)
    assert kubeflow_server.requests == []


def test_what_is_kubeflow_s_is_refused_on_vertex(call: Call, job_words: list[str]) -> None:
    words = ["--host", "http://x", "--namespace", "n", "--options", "o.yaml", "--token", "t"]
    with pytest.raises(UserError) as caught:
        call("submit", *job_words, *words)
    assert len(caught.value.problems) == 4
    assert "--host: is an option of Kubeflow, and the platform is vertex." in str(caught.value)


def test_a_template_of_another_platform_is_refused(
    call: Call, run_words: list[str], job_words: list[str]
) -> None:
    with pytest.raises(UserError, match="is compiled for vertex, not for kubeflow"):
        call("submit", *run_words[:-1], job_words[-1])
    with pytest.raises(UserError, match="is compiled for kubeflow, not for vertex"):
        call("submit", *job_words[:-1], run_words[-1])


def test_the_environment_says_where(
    kubeflow_server: LocalKubeflow,
    call: Call,
    run_words: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kubeflow_server.backend.token = "secret"
    monkeypatch.setenv("KFP_LLM_TUNING_PLATFORM", "kubeflow")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kubeflow_server.url)
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "secret")
    monkeypatch.setenv("KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", "mine")
    # What says where on Vertex AI is not typed in: it is no mistake.
    monkeypatch.setenv("GOOGLE_CLOUD_REGION", "us-central1")
    call("submit", *run_words[4:])
    names = [one["display_name"] for one in kubeflow_server.backend.experiments.values()]
    assert "mine" in names
    the_run(kubeflow_server)


def test_nobody_is_there(call: Call, run_words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--host: could not reach.*refused.*Check --host"):
        call("submit", *run_words, "--host", "http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"no Kubeflow Pipelines is named.*KF_PIPELINES_ENDPOINT"):
        call("submit", *run_words, "--host", "")


@pytest.mark.parametrize("sent_by", ["curl", "the command"])
def test_the_dry_run_prints_what_is_sent(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str], tmp_path: Path, sent_by: str
) -> None:
    dry = call("submit", *run_words, "--job-id", "job-1", "--dry-run")
    assert kubeflow_server.requests == []
    body = json.loads(dry.stdout)
    if sent_by == "curl":
        if not shutil.which("curl"):
            pytest.skip("no curl")
        path = tmp_path / "request.json"
        path.write_text(dry.stdout, encoding="utf-8")
        url = dry.stderr.splitlines()[-1].strip("# '")
        head = ["-H", "Content-Type: application/json"]
        command = ["curl", "-sS", "--fail-with-body", "-X", "POST", *head, "-d", f"@{path}", url]
        subprocess.run(command, check=True)
    else:
        call("submit", *run_words, "--job-id", "job-1")
    run = the_run(kubeflow_server)
    for field in ("display_name", "description", "runtime_config"):
        assert run[field] == body[field]
    package = kubeflow_server.backend.runs[run["run_id"]].package
    assert package.as_struct() == body["pipeline_spec"]


def follow(server: LocalKubeflow, events: list[Event]) -> threading.Thread:
    """Lets a run that will be there take a course, while the command watches it."""

    def run() -> None:
        while not server.runs:
            time.sleep(0.01)
        for event in events:
            server.report(server.runs[0]["run_id"], event)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


UPLOAD = ("deployment-graph", "upload-llm-model")
TUNER = ("tuning-graph", "large-language-model-tuner")


@pytest.mark.parametrize(
    ("events", "registered", "code", "texts"),
    [
        (
            [
                Event(("validate-pipeline",), "SUCCEEDED"),
                Event(UPLOAD, "SUCCEEDED"),
                Event((), "SUCCEEDED"),
            ],
            RegisteredModel(MODEL, ENDPOINT),
            0,
            ["✓ validate-pipeline", "✓ upload-llm-model", MODEL, ENDPOINT, "models show"],
        ),
        ([Event((), "SUCCEEDED")], RegisteredModel(), 3, ["the gate refused the model"]),
        ([Event((), "SUCCEEDED")], RegisteredModel(note="it is not known."), 0,
         ["note      it is not known."]),
        (
            [
                Event(("tuning-graph", "validate-dataset"), "FAILED", error="exit code 1"),
                Event(("deployment-graph",), "NOT_TRIGGERED"),
                Event((), "FAILED"),
            ],
            RegisteredModel(),
            1,
            ["✗ validate-dataset", "main: Error (exit code 1). A mistake in data or parameters"],
        ),
        (
            [Event(TUNER, "FAILED", error="exit code 13"), Event((), "FAILED")],
            RegisteredModel(),
            13,
            ["✗ large-language-model-tuner", "A fault of kfp-llm-tuning"],
        ),
        (
            [Event(TUNER, "FAILED", error="exit code 137"), Event((), "FAILED")],
            RegisteredModel(),
            1,
            ["OOMKilled (exit code 137). The pod ran out of memory"],
        ),
    ],
)  # fmt: skip
def test_waiting_shows_tasks_and_ends_as_run_does(
    kubeflow_server: LocalKubeflow,
    call: Call,
    run_words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    events: list[Event],
    registered: RegisteredModel,
    code: int,
    texts: list[str],
) -> None:
    asked: list[str] = []

    def registry(uri: str, run_id: str) -> RegisteredModel:
        asked.append(uri)
        return registered

    monkeypatch.setattr(service, "registered_model", registry)
    thread = follow(kubeflow_server, events)
    result = call("submit", *run_words, "--wait", "--poll-seconds", "0.05")
    thread.join()
    assert result.exit_code == code, result.stdout
    for text in [*texts, f"{kubeflow_server.url}/#/runs/details/"]:
        assert text in result.stdout
    assert set(asked) <= {"http://127.0.0.1:1"}


def test_a_run_that_is_terminated_ends_the_waiting(
    kubeflow_server: LocalKubeflow, call: Call, run_words: list[str], on_kubeflow: list[str]
) -> None:
    call("submit", *run_words, "--job-id", "job-1")
    call("jobs", "cancel", "job-1", *on_kubeflow)
    result = call("jobs", "show", "job-1", *on_kubeflow, "--wait", "--poll-seconds", "0.05")
    assert result.exit_code == 1
    assert "Cancelled after" in result.stdout


@pytest.mark.parametrize("kind", ["unavailable", "reset"])
def test_a_look_that_fails_does_not_end_the_waiting(
    kubeflow_server: LocalKubeflow,
    no_backoff: None,
    call: Call,
    run_words: list[str],
    on_kubeflow: list[str],
    kind: Kind,
) -> None:
    call("submit", *run_words, "--job-id", "job-1")
    kubeflow_server.finish(the_run(kubeflow_server)["run_id"], "FAILED")
    kubeflow_server.faults.inject("RunService.GetRun", kind, 3)
    result = call("jobs", "show", "job-1", *on_kubeflow, "--wait", "--poll-seconds", "0.05")
    assert result.exit_code == 1
    assert kubeflow_server.faults.waiting == []


@pytest.mark.parametrize(("terminal", "answer"), [(False, ""), (True, "n\n"), (True, "y\n")])
def test_interrupted_waiting_keeps_the_run(
    kubeflow_server: LocalKubeflow,
    call: Call,
    run_words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    answer: str,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kfp_llm_tuning.pipelines.jobs.job_watch.watch", interrupt)
    monkeypatch.setattr(job_waiting, "_in_terminal", lambda: terminal)
    result = call("submit", *run_words, "--wait", answer=answer)
    assert result.exit_code == 75
    run = the_run(kubeflow_server)
    assert f"kfp-llm-tuning jobs cancel {run['run_id']} --platform kubeflow" in result.stdout
    assert (run["state"] == "FAILED") == (answer == "y\n")


def test_a_real_ctrl_c(kubeflow_server: LocalKubeflow, run_words: list[str]) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "kfp_llm_tuning.pipelines.cli", "submit", *run_words),
            *("--wait", "--poll-seconds", "0.1"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A shell that started the suite in the background makes it ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    run = process.stdout.readline().strip()
    process.stdout.readline()
    kubeflow_server.report(run, Event(("validate-pipeline",), "RUNNING"))
    assert "validate-pipeline" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "The job goes on" in printed
