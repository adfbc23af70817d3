"""kfp.Client, as it is, against the local Kubeflow Pipelines."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import kfp_server_api
import pytest
from kfp import Client

from tests.kubeflow.local_kubeflow import LocalKubeflow
from tests.vertex.runner_protocol import Event


def experiment_id(client: Client, name: str = "trials") -> str:
    return str(client.create_experiment(name).experiment_id)


def uploaded(client: Client, package: Path) -> tuple[str, str]:
    pipeline = client.upload_pipeline(str(package), pipeline_name="demo")
    version = client.upload_pipeline_version(str(package), "second", pipeline.pipeline_id)
    return pipeline.pipeline_id, version.pipeline_version_id


def filter_by(key: str, operation: str | int, value: str = "a") -> str:
    predicate = {"operation": operation, "key": key, "stringValue": value}
    return json.dumps({"predicates": [predicate]})


def start(client: Client, package: Path, name: str = "a run", **options: Any) -> str:
    options = {"params": {"text": "x"}, **options}
    run = client.run_pipeline(experiment_id(client), name, str(package), **options)
    return str(run.run_id)


def test_upload_a_pipeline_and_a_version(client: Client, package: Path) -> None:
    pipeline, version = uploaded(client, package)
    assert client.get_pipeline_id("demo") == pipeline
    names = [one.name for one in client.list_pipeline_versions(pipeline).pipeline_versions]
    assert sorted(names) == ["demo", "second"]
    spec = client.get_pipeline_version(pipeline, version).pipeline_spec
    assert spec["pipeline_spec"]["pipelineInfo"]["name"] == "demo"
    assert "kubernetes" in spec["platform_spec"]["platforms"]


def test_names_are_taken_once(client: Client, package: Path) -> None:
    pipeline, _ = uploaded(client, package)
    for call in (
        lambda: client.upload_pipeline(str(package), pipeline_name="demo"),
        lambda: client.upload_pipeline_version(str(package), "second", pipeline),
    ):
        with pytest.raises(kfp_server_api.ApiException) as caught:
            call()
        assert caught.value.status == 409


def test_a_pipeline_is_deleted_after_its_versions(client: Client, package: Path) -> None:
    pipeline, _ = uploaded(client, package)
    with pytest.raises(kfp_server_api.ApiException, match="cascade"):
        client.delete_pipeline(pipeline)
    for version in client.list_pipeline_versions(pipeline).pipeline_versions:
        client.delete_pipeline_version(pipeline, version.pipeline_version_id)
    client.delete_pipeline(pipeline)
    assert client.list_pipelines().pipelines is None


def test_a_run_from_a_file(kubeflow: LocalKubeflow, client: Client, package: Path) -> None:
    run = start(client, package)
    kubeflow.report(run, Event(("say",), "SUCCEEDED"))
    kubeflow.report(run, Event(("say-2",), "RUNNING"))
    found = client.get_run(run)
    assert (found.state, found.runtime_config.parameters) == ("RUNNING", {"text": "x"})
    states = {(task.display_name, task.state) for task in found.run_details.task_details}
    assert {("say", "SUCCEEDED"), ("say-driver", "SUCCEEDED"), ("say-2", "RUNNING")} <= states
    assert found.finished_at.year == 1970
    kubeflow.finish(run)
    assert client.wait_for_run_completion(run, timeout=10, sleep_duration=0).state == "SUCCEEDED"


def test_a_run_of_a_version(client: Client, package: Path) -> None:
    pipeline, version = uploaded(client, package)
    run = client.run_pipeline(
        experiment_id(client), "a run", pipeline_id=pipeline, version_id=version,
        params={"text": "x", "number": 4, "flag": True},
    )  # fmt: skip
    reference = client.get_run(run.run_id).pipeline_version_reference
    assert (reference.pipeline_id, reference.pipeline_version_id) == (pipeline, version)


def test_a_run_of_a_function_in_the_default_experiment(client: Client, package: Path) -> None:
    run = client.create_run_from_pipeline_package(str(package), {"text": "x"})
    experiment = client.get_experiment(client.get_run(run.run_id).experiment_id)
    assert experiment.display_name == "Default"


def test_a_failed_run_tells_why_in_the_first_version_of_the_api(
    kubeflow: LocalKubeflow, client: Client, package: Path
) -> None:
    run = start(client, package)
    kubeflow.report(run, Event(("say",), "FAILED", error="exit code 13"))
    kubeflow.report(run, Event(("say-2",), "NOT_TRIGGERED"))
    kubeflow.finish(run, "FAILED")
    found = client.get_run(run)
    assert found.state == "FAILED"
    states = {task.display_name: task.state for task in found.run_details.task_details}
    assert (states["say"], states["say-2"]) == ("FAILED", None)
    (detail,) = client.runs.run_service_get_run.__self__.api_client.call_api(
        f"/apis/v1beta1/runs/{run}", "GET", response_type="object", _return_http_data_only=False
    )[:1]
    nodes = json.loads(detail["pipeline_runtime"]["workflow_manifest"])["status"]["nodes"]
    messages = {node.get("message") for node in nodes.values()}
    assert "main: Error (exit code 13)" in messages


def test_terminate(kubeflow: LocalKubeflow, client: Client, package: Path) -> None:
    run = start(client, package)
    client.terminate_run(run)
    found = client.get_run(run)
    assert found.state == "FAILED"
    assert [status.state for status in found.state_history] == ["PENDING", "CANCELING", "FAILED"]
    with pytest.raises(kfp_server_api.ApiException, match="Row not found"):
        client.terminate_run(run)


def test_archive_and_delete(client: Client, package: Path) -> None:
    run = start(client, package)
    client.archive_run(run)
    assert client.get_run(run).storage_state == "ARCHIVED"
    client.unarchive_run(run)
    client.delete_run(run)
    with pytest.raises(kfp_server_api.ApiException) as caught:
        client.get_run(run)
    assert caught.value.status == 404


def test_lists_are_filtered_sorted_and_cut(
    kubeflow: LocalKubeflow, client: Client, package: Path
) -> None:
    for number in range(5):
        start(client, package, f"run {number}")
        kubeflow.clock.advance(timedelta(seconds=1))
    first = client.list_runs(page_size=3, sort_by="created_at desc")
    assert [run.display_name for run in first.runs] == ["run 4", "run 3", "run 2"]
    assert (first.total_size, first.runs[0].run_details) == (5, None)
    rest = client.list_runs(page_size=3, page_token=first.next_page_token)
    assert [run.display_name for run in rest.runs] == ["run 1", "run 0"]
    assert rest.next_page_token is None
    for operation, value, count in (
        ("EQUALS", "run 3", 1),
        ("NOT_EQUALS", "run 3", 4),
        ("IS_SUBSTRING", "run", 5),
        ("IS_SUBSTRING", "n_3", 1),
        (1, "RUN 3", 1),
    ):
        found = client.list_runs(filter=filter_by("display_name", operation, value))
        assert found.total_size == count


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"sort_by": "colour"}, "Invalid sorting field"),
        ({"sort_by": "created_at down"}, "Invalid sorting field|sort by format"),
        ({"page_token": "x"}, "Invalid page token"),
        ({"filter": "{"}, "failed to parse valid filter"),
        ({"filter": filter_by("labels", "EQUALS")},
         "unrecognized field"),
        ({"filter": filter_by("name", "LIKE")},
         "invalid predicate operation"),
        ({"filter": filter_by("name", "IN")},
         "cannot use IN operator"),
        ({"page_size": -1}, "page size"),
    ],
)  # fmt: skip
def test_wrong_lists_are_refused(client: Client, query: dict[str, Any], text: str) -> None:
    with pytest.raises(kfp_server_api.ApiException, match=text) as caught:
        client.list_runs(**query)
    assert caught.value.status == 400
    assert json.loads(caught.value.body)["code"] == 3


def test_a_plus_in_a_filter_must_be_escaped(
    client: Client, package: Path, kubeflow: LocalKubeflow
) -> None:
    from urllib.parse import quote

    start(client, package, "a+b 100%")
    text = filter_by("display_name", 1, "a+b 100%")
    assert client.list_runs(filter=text).runs is None
    assert client.list_runs(filter=quote(text)).total_size == 1


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, "text is not optional"),
        ({"text": 3}, "requires type string"),
        ({"text": "x", "number": "3"}, "requires type double or integer"),
        ({"text": "x", "flag": "true"}, "requires type bool"),
        ({"text": "x", "colour": "red"}, "not required by pipeline: colour"),
    ],
)
def test_wrong_parameters_are_refused(
    client: Client, package: Path, params: dict[str, Any], text: str
) -> None:
    with pytest.raises(kfp_server_api.ApiException, match=text) as caught:
        start(client, package, params=params)
    assert caught.value.status == 400


def test_unknown_fields_are_refused(kubeflow: LocalKubeflow) -> None:
    api = kfp_server_api.ApiClient(kfp_server_api.Configuration(host=kubeflow.url))
    with pytest.raises(kfp_server_api.ApiException, match="unknown field"):
        api.call_api(
            "/apis/v2beta1/runs", "POST", body={"display_name": "x", "labels": {}},
            header_params={"Content-Type": "application/json"}, response_type="object",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda text: text.replace("schemaVersion: 2.1.0", "schemaVersion: 2.0.0"), "2.1.0"),
        (lambda text: text.replace("name: demo", "name: Demo"), "lowercase"),
        (lambda text: text.replace("sdkVersion:", "sdkVersions:"), "sdkVersions"),
        (lambda text: text.replace("nodeSelector:", "nodeSelectors:"), "nodeSelectors"),
        (lambda text: re.sub(r"exec-say:(?=\s+nodeS)", "exec-no:", text), "no such executor"),
        (lambda text: text + "\n---\na: b\n", "one platform spec at most"),
        (lambda text: "a: [", "unable to decode"),
        (lambda text: "", "no pipeline spec"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused(
    client: Client, package: Path, tmp_path: Path, edit: Any, text: str
) -> None:
    changed = edit(package.read_text(encoding="utf-8"))
    assert changed != package.read_text(encoding="utf-8")
    path = tmp_path / "changed.yaml"
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(kfp_server_api.ApiException, match=text) as caught:
        client.upload_pipeline(str(path), pipeline_name="changed")
    assert caught.value.status == 400


def test_a_version_that_is_not_there(client: Client, package: Path) -> None:
    pipeline, _ = uploaded(client, package)
    with pytest.raises(kfp_server_api.ApiException, match="fetching manifest") as caught:
        client.run_pipeline(experiment_id(client), "a run", pipeline_id=pipeline, version_id="none")
    assert caught.value.status == 500


def test_many_users(kubeflow: LocalKubeflow, package: Path, client: Client) -> None:
    kubeflow.backend.multi_user, kubeflow.backend.namespaces = True, {"team-a"}
    experiment = client.create_experiment("trials", namespace="team-a")
    client.run_pipeline(experiment.experiment_id, "a run", str(package), params={"text": "x"})
    assert client.list_runs(namespace="team-a").total_size == 1
    for namespace, status in (("team-b", 403), ("", 400)):
        with pytest.raises(kfp_server_api.ApiException) as caught:
            client.list_experiments(namespace=namespace)
        assert caught.value.status == status


def test_a_token_is_needed(kubeflow: LocalKubeflow, client: Client) -> None:
    kubeflow.backend.token = "secret"
    with pytest.raises(kfp_server_api.ApiException) as caught:
        client.list_pipelines()
    assert caught.value.status == 401
    with pytest.warns(FutureWarning):
        assert Client(kubeflow.url, existing_token="secret").list_pipelines().pipelines is None


def test_faults(kubeflow: LocalKubeflow, client: Client, package: Path) -> None:
    kubeflow.faults.inject("RunService.CreateRun", "unavailable", after_commit=True)
    with pytest.raises(kfp_server_api.ApiException) as caught:
        start(client, package)
    assert caught.value.status == 503
    assert len(kubeflow.runs) == 1
    kubeflow.faults.inject("HealthzService.GetHealthz", "slow", seconds=0.01)
    assert client.get_kfp_healthz().multi_user is False
    assert kubeflow.faults.waiting == []
