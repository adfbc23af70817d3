"""Pipelines and custom jobs that really run: states, values, artifacts, labels, cancellation."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler

from tests.vertex.execution import start_custom_job, start_pipeline
from tests.vertex.images import IMAGE
from tests.vertex.local_vertex import LocalVertex, local_vertex
from tests.vertex.runner_protocol import Event, job_uuid, task_uuid
from tests.vertex.sample_pipelines import failing, looping, many_kinds, retried, waiting, wrong

ROOT = "gs://bucket/root"
JOB = "projects/1234/locations/us-central1/pipelineJobs/job-1"


@pytest.fixture
def vertex(tmp_path: Path) -> Iterator[LocalVertex]:
    with local_vertex(tmp_path / "vertex", execute=True) as running:
        running.storage.create_bucket("bucket")
        yield running


class Run:
    """A pipeline run without the API around it."""

    def __init__(
        self, vertex: LocalVertex, folder: Path, pipeline: Any, name: str = "1", **fields: Any
    ) -> None:
        self.events: list[Event] = []
        template = folder / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(template))
        job = {
            "name": JOB,
            "pipelineSpec": yaml.load(template.read_text(), Loader=yaml.CSafeLoader),
            "runtimeConfig": {
                "gcsOutputDirectory": ROOT,
                "parameterValues": fields.pop("parameters", {}),
            },
            **fields,
        }
        self.handle = start_pipeline(
            job, vertex.environment(), folder / f"run-{name}", self.events.append
        )

    def finish(self) -> Event:
        assert self.handle.wait(60)
        return self.events[-1]

    def last(self, *path: str) -> Event:
        return [event for event in self.events if event.path == path][-1]

    def states(self) -> dict[str, str]:
        return {"/".join(event.path): event.state for event in self.events if event.path}


def test_tasks_of_every_kind(vertex: LocalVertex, tmp_path: Path) -> None:
    run = Run(
        vertex,
        tmp_path,
        many_kinds,
        parameters={"count": 3.0},
        labels={"team": "a"},
        serviceAccount="me@x",
    )
    last = run.finish()
    assert last.state == "SUCCEEDED", last.error + str(run.states())
    assert run.states() == {
        "write-model": "SUCCEEDED",
        "copy-model": "SUCCEEDED",
        "inner": "SUCCEEDED",
        "inner/write-model": "SUCCEEDED",
        "importer": "SUCCEEDED",
        "condition-1": "SUCCEEDED",
        "condition-1/read-text": "SUCCEEDED",
        "condition-2": "NOT_TRIGGERED",
    }
    written = run.last("write-model")
    folder = f"{ROOT}/1234/job-1/write-model_{task_uuid(JOB, ('write-model',))}"
    (model,) = written.output_artifacts["model"]
    assert (model.uri, model.schema_title) == (f"{folder}/model", "system.Model")
    assert model.metadata["framework"] == "none"
    seen = json.loads(written.output_parameters["Output"])
    assert seen["uri"] == model.uri
    assert json.loads(seen["VERTEX_AI_PIPELINES_RUN_LABELS"]) == {
        "team": "a",
        "vertex-ai-pipelines-run-billing-id": str(job_uuid(JOB)),
    }
    assert seen["GOOGLE_CLOUD_PROJECT"] not in ("test-project", "1234")
    told = json.loads(run.last("copy-model").output_parameters["told"])
    (copy,) = run.last("copy-model").output_artifacts["copy"]
    assert told == {
        "python3": model.uri,
        "copy": copy.uri,
        "text": f"{job_uuid(JOB)}-us-central1",
    }
    assert run.last("copy-model").input_parameters == {"prefix": f"{job_uuid(JOB)}-us-central1"}
    assert run.last("condition-1", "read-text").output_parameters["Output"] == f"copied {copy.uri}"
    assert last.output_parameters == {"Output": json.dumps(told)}
    assert (vertex.storage_folder / model.uri.removeprefix("gs://") / "text.txt").exists()


def test_what_an_earlier_run_did_is_skipped(vertex: LocalVertex, tmp_path: Path) -> None:
    first = Run(vertex, tmp_path, many_kinds, parameters={"count": 3})
    first.finish()
    second = Run(vertex, tmp_path, many_kinds, name="2", parameters={"count": 3})
    assert second.finish().state == "SUCCEEDED"
    assert second.states() | {"write-model": "SKIPPED"} == second.states()
    assert second.states()["importer"] == "SUCCEEDED"
    assert second.last("write-model").output_artifacts == first.last("write-model").output_artifacts


def test_a_loop(vertex: LocalVertex, tmp_path: Path) -> None:
    run = Run(vertex, tmp_path, looping)
    assert run.finish().output_parameters == {"Output": 12}
    assert run.states() == dict.fromkeys(
        [
            "for-loop-2",
            *(f"for-loop-2/for-loop-2-{number}" for number in range(3)),
            *(f"for-loop-2/for-loop-2-{number}/double" for number in range(3)),
            "add",
        ],
        "SUCCEEDED",
    )


def test_pipelines_run_side_by_side(vertex: LocalVertex, tmp_path: Path) -> None:
    runs = [Run(vertex, tmp_path, looping, name=name) for name in ("1", "2")]
    assert [run.finish().state for run in runs] == ["SUCCEEDED", "SUCCEEDED"]


def test_a_failed_task(vertex: LocalVertex, tmp_path: Path) -> None:
    run = Run(vertex, tmp_path, failing)
    last = run.finish()
    assert (last.state, run.states()) == ("FAILED", {"fail": "FAILED", "fail-2": "NOT_TRIGGERED"})
    assert "[fail]" in last.error
    assert "exited with code 7" in run.last("fail").error
    assert "something went wrong" in run.last("fail").error


def test_a_task_is_tried_again_without_waiting(vertex: LocalVertex, tmp_path: Path) -> None:
    run = Run(vertex, tmp_path, retried, parameters={"path": str(tmp_path / "flag")})
    assert run.finish().state == "SUCCEEDED"


def test_a_cancelled_pipeline_ends_its_tasks(vertex: LocalVertex, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    run = Run(vertex, tmp_path, waiting, parameters={"path": str(flag)})
    _until(flag.exists)
    run.handle.cancel()
    assert run.finish().state == "CANCELLED"
    assert run.states() == {"wait-forever": "CANCELLED", "fail": "NOT_TRIGGERED"}


def test_a_pipeline_that_cannot_begin_fails(vertex: LocalVertex, tmp_path: Path) -> None:
    last = Run(vertex, tmp_path, wrong).finish()
    assert last.state == "FAILED"
    assert "ValueError" in last.error


def _custom_job(script: str, **scheduling: Any) -> dict[str, Any]:
    return {
        "name": "projects/1234/locations/us-central1/customJobs/7",
        "jobSpec": {
            "workerPoolSpecs": [
                {
                    "replicaCount": "1",
                    "containerSpec": {
                        "imageUri": IMAGE,
                        "command": ["python3", "-c"],
                        "args": [script],
                        "env": [{"name": "COLOUR", "value": "blue"}],
                    },
                }
            ],
            "scheduling": scheduling,
            "baseOutputDirectory": {"outputUriPrefix": "gs://bucket/out"},
        },
    }


class CustomRun:
    def __init__(self, vertex: LocalVertex, folder: Path, script: str, **scheduling: Any) -> None:
        self.events: list[Event] = []
        job = _custom_job(script, **scheduling)
        self.handle = start_custom_job(job, vertex.environment(), folder, self.events.append)

    def finish(self) -> Event:
        assert self.handle.wait(60)
        assert [event.state for event in self.events[:-1]] == ["RUNNING"]
        return self.events[-1]


def test_a_custom_job_runs_its_command(vertex: LocalVertex, tmp_path: Path) -> None:
    script = """
import os, sys, json
from google.cloud import storage
assert os.environ["COLOUR"] == "blue"
assert os.environ["AIP_MODEL_DIR"] == "gs://bucket/out/model/"
assert json.loads(os.environ["CLUSTER_SPEC"])["task"] == {"type": "workerpool0", "index": 0}
storage.Client(project="p").bucket("bucket").blob("done").upload_from_string("yes")
"""
    last = CustomRun(vertex, tmp_path / "job", script).finish()
    assert last.state == "SUCCEEDED", last.error
    assert (vertex.storage_folder / "bucket" / "done").read_text() == "yes"


_MEETING = """
import json, os, pathlib
cluster, tensorflow = (json.loads(os.environ[name]) for name in ("CLUSTER_SPEC", "TF_CONFIG"))
assert {name: len(found) for name, found in cluster["cluster"].items()} == {
    "workerpool0": 1, "workerpool1": 2}
assert tensorflow["cluster"]["worker"] == cluster["cluster"]["workerpool1"]
task = cluster["task"]
pathlib.Path(f"{task['type']}-{task['index']}-{tensorflow['task']['type']}").touch()
assert not list(pathlib.Path(os.environ["TMPDIR"]).iterdir())
"""


def test_every_replica_of_a_custom_job_knows_the_others(
    vertex: LocalVertex, tmp_path: Path
) -> None:
    job = _custom_job(_MEETING)
    (pool,) = job["jobSpec"]["workerPoolSpecs"]
    job["jobSpec"]["workerPoolSpecs"] = [pool, {**pool, "replicaCount": "2"}]
    events: list[Event] = []
    handle = start_custom_job(job, vertex.environment(), tmp_path / "job", events.append)
    assert handle.wait(60)
    assert events[-1].state == "SUCCEEDED", events[-1].error
    assert {path.name for path in (tmp_path / "job").glob("workerpool*") if path.is_file()} == {
        "workerpool0-0.log",
        "workerpool1-0.log",
        "workerpool1-1.log",
        "workerpool0-0-chief",
        "workerpool1-0-worker",
        "workerpool1-1-worker",
    }


def test_a_custom_job_fails_with_its_exit_code(vertex: LocalVertex, tmp_path: Path) -> None:
    last = CustomRun(vertex, tmp_path / "job", "import sys; print('sorry'); sys.exit(3)").finish()
    assert last.state == "FAILED"
    assert "non-zero status of 3" in last.error and "sorry" in last.error


def test_a_custom_job_has_a_timeout(vertex: LocalVertex, tmp_path: Path) -> None:
    last = CustomRun(vertex, tmp_path / "job", "import time; time.sleep(99)", timeout="1s").finish()
    assert (last.state, "timeout" in last.error) == ("FAILED", True)


_COUNT_STARTS = """
import os, time
from pathlib import Path
starts = Path("starts")
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
Path("pid").write_text(str(os.getpid()))
time.sleep(0 if len(starts.read_text()) == 2 else 99)
"""


@pytest.mark.parametrize("restarts", [True, False])
def test_a_worker_that_is_killed(vertex: LocalVertex, tmp_path: Path, restarts: bool) -> None:
    folder = tmp_path / "job"
    run = CustomRun(vertex, folder, _COUNT_STARTS, restartJobOnWorkerRestart=restarts)
    _until(lambda: (folder / "pid").exists() and (folder / "pid").read_text() != "")
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
    assert run.finish().state == ("SUCCEEDED" if restarts else "FAILED")


def test_a_preempted_worker_may_save_its_state(vertex: LocalVertex, tmp_path: Path) -> None:
    saves = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))"
    folder = tmp_path / "job"
    run = CustomRun(vertex, folder, f"{saves}\n{_COUNT_STARTS}", restartJobOnWorkerRestart=True)
    _until(lambda: (folder / "pid").exists() and (folder / "pid").read_text() != "")
    run.handle.preempt()
    assert run.finish().state == "SUCCEEDED"
    assert (folder / "starts").read_text() == "xx"


def test_a_cancelled_custom_job(vertex: LocalVertex, tmp_path: Path) -> None:
    run = CustomRun(vertex, tmp_path / "job", "import time; time.sleep(99)")
    _until(lambda: bool(run.events))
    run.handle.cancel()
    assert run.finish().state == "CANCELLED"


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
