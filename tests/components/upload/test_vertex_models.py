from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.upload import vertex_models
from kfp_llm_tuning.components.upload.vertex_platform import upload
from tests.components.upload.vertex_tasks import IMAGE, LOCATION, PARENT, upload_task
from tests.vertex.local_vertex import LocalVertex


def versions(server: LocalVertex) -> list[dict[str, Any]]:
    """Every version of every model, as its REST body."""
    from google.protobuf import json_format

    return [
        json_format.MessageToDict(server.store[name])
        for name in server.store
        if "/models/" in name and "@" in name.rpartition("/")[2]
    ]


@pytest.fixture
def rest(vertex_server: LocalVertex) -> dict[str, str]:
    return {"regional_endpoint": vertex_server.rest_url}


def test_what_is_registered(
    vertex_server: LocalVertex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERTEX_AI_PIPELINES_RUN_LABELS", '{"run": "nightly", "team": "a"}')
    uploaded = upload(
        upload_task(
            vertex_server,
            tmp_path,
            labels='{"team": "support", "Owner": "Zoë"}',
            encryption_key=f"{PARENT}/keyRings/r/cryptoKeys/k",
            version_aliases="champion",
        )
    )
    (version,) = versions(vertex_server)
    assert uploaded.model_resource_name == f"{version['name']}@1"
    assert version["name"].startswith(f"{PARENT}/models/support-intents-")
    assert version["displayName"] == "Support intents"
    assert version["artifactUri"] == "gs://bucket/run-1/model"
    assert version["containerSpec"] == {
        "imageUri": IMAGE,
        "predictRoute": "/predict",
        "healthRoute": "/health",
        "ports": [{"containerPort": 8080}],
        "env": [
            {"name": "MODEL_REFERENCE", "value": "text-bison@002"},
            {"name": "KFP_LLM_TUNING_SERVING_MODEL_NAME", "value": "Support intents"},
        ],
    }
    assert version["encryptionSpec"] == {"kmsKeyName": f"{PARENT}/keyRings/r/cryptoKeys/k"}
    assert set(version["versionAliases"]) == {"champion", "default"}
    labels = version["labels"]
    assert labels["google-vertex-llm-tuning-base-model-id"] == "text-bison-002"
    assert labels["pipeline-run-id"] == "tune-large-model-20261124"
    assert labels["weights-megabytes"] == "2"
    assert labels["substitutes-for"] == "text-bison-002"
    assert (labels["run"], labels["team"], labels["owner"]) == ("nightly", "support", "zo")
    for told in ("closed and no longer served", "Owner = Zoë", "model-reference = text-bison@002"):
        assert told in version["description"]
        assert told in version["versionDescription"]
    (record,) = json.loads(uploaded.gcp_resources)["resources"]
    assert record["resourceType"] == "VertexLro"
    assert record["resourceUri"].startswith(f"https://{LOCATION}-aiplatform.googleapis.com/v1/")
    assert "/operations/" in record["resourceUri"]


def test_a_model_that_its_evaluation_warns_of_is_labelled(
    vertex_server: LocalVertex, tmp_path: Path
) -> None:
    (tmp_path / "evaluation").mkdir()
    alarms = [{"kind": "same_answer", "message": "All are one."}]
    evaluation = tmp_path / "evaluation" / "evaluation.json"
    evaluation.write_text(json.dumps({"metrics": {}, "alarms": alarms}))
    upload(upload_task(vertex_server, tmp_path))
    (version,) = versions(vertex_server)
    assert version["labels"]["quality-warning"] == "same_answer"


def test_done_twice_is_done_once(
    vertex_server: LocalVertex, tmp_path: Path, rest: dict[str, str]
) -> None:
    task = upload_task(vertex_server, tmp_path)
    first, second = upload(task), upload(dataclasses.replace(task, **rest))
    assert first.model_resource_name == second.model_resource_name
    assert len(versions(vertex_server)) == 1
    assert json.loads(second.gcp_resources)["resources"][0]["resourceType"] == "VertexModel"


def test_another_run_makes_another_model(vertex_server: LocalVertex, tmp_path: Path) -> None:
    names = {
        upload(upload_task(vertex_server, tmp_path, run_id=run)).model_resource_name
        for run in ("run-1", "run-2")
    }
    assert len(names) == 2


def test_runs_make_versions_of_a_parent_that_the_first_one_makes(
    vertex_server: LocalVertex, tmp_path: Path
) -> None:
    for run in ("run-1", "run-2", "run-2", "run-3"):
        uploaded = upload(
            upload_task(
                vertex_server,
                tmp_path,
                run_id=run,
                parent_model="intents",
                version_aliases="champion, default" if run == "run-3" else "champion",
            )
        )
    assert uploaded.model_resource_name == f"{PARENT}/models/intents@3"
    found = versions(vertex_server)
    assert [version["versionId"] for version in found] == ["1", "2", "3"]
    assert [version["labels"]["pipeline-run-id"] for version in found] == [
        "run-1",
        "run-2",
        "run-3",
    ]
    assert set(found[2]["versionAliases"]) == {"champion", "default"}
    assert not any(version.get("versionAliases") for version in found[:2])


def test_parent_by_resource_name(vertex_server: LocalVertex, tmp_path: Path) -> None:
    first = upload(upload_task(vertex_server, tmp_path, run_id="run-1")).model_resource_name
    second = upload(
        upload_task(vertex_server, tmp_path, run_id="run-2", parent_model=first)
    ).model_resource_name
    assert second == first.replace("@1", "@2")


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        (f"{PARENT}/models/absent", "there is no model .*/models/absent"),
        ("projects/p/locations/europe-west4/models/m", "no model in us-central1"),
        ("projects/p/models/m", "no model in us-central1"),
        ("Not an id", "model_id"),
    ],
)
def test_parents_that_cannot_be(
    vertex_server: LocalVertex, tmp_path: Path, parent: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        upload(upload_task(vertex_server, tmp_path, parent_model=parent))
    assert caught.value.problems[0].where == "parent_model"
    assert versions(vertex_server) == []


@pytest.mark.usefixtures("no_backoff")
def test_another_run_makes_the_parent_at_the_same_time(
    vertex_server: LocalVertex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = upload_task(vertex_server, tmp_path, run_id="run-1", parent_model="intents")
    read = vertex_models._VersionRegistration._read

    def late(registration: vertex_models._VersionRegistration, name: str) -> object:
        # Between this look for the parent and the request to make it the other run makes it.
        monkeypatch.setattr(vertex_models._VersionRegistration, "_read", read)
        there = read(registration, name)
        upload(other)
        return there

    monkeypatch.setattr(vertex_models._VersionRegistration, "_read", late)
    uploaded = upload(upload_task(vertex_server, tmp_path, run_id="run-2", parent_model="intents"))
    assert uploaded.model_resource_name == f"{PARENT}/models/intents@2"
    assert len(versions(vertex_server)) == 2


def test_a_run_that_has_two_versions_keeps_one(vertex_server: LocalVertex, tmp_path: Path) -> None:
    task = upload_task(vertex_server, tmp_path, parent_model="intents", version_aliases="champion")
    upload(dataclasses.replace(task, run_id="run-0"))
    vertex_server.faults.inject("ModelService.UploadModel", "duplicate")
    uploaded = upload(task)
    assert uploaded.model_resource_name == f"{PARENT}/models/intents@3"
    assert [version["versionId"] for version in versions(vertex_server)] == ["1", "3"]
    assert versions(vertex_server)[1]["versionAliases"] == ["champion"]
