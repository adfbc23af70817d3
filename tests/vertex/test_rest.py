"""Tests of the REST side: what raw HTTP clients send and get."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.vertex.local_vertex import LocalVertex

Body = dict[str, Any]


class Http:
    """Calls the local server as curl does."""

    def __init__(self, vertex: LocalVertex) -> None:
        self._base = f"{vertex.rest_url}/v1/"
        self.parent = vertex.parent

    def __call__(
        self, verb: str, path: str, body: Body | None = None, **query: Any
    ) -> tuple[int, Body]:
        url = self._base + path
        answer = requests.request(verb, url, json=body, params=query, timeout=10)
        return answer.status_code, answer.json()

    def endpoints(self, *display_names: str, **fields: Any) -> list[str]:
        """Makes endpoints and gives their names."""
        names = []
        for display_name in display_names:
            body = {"displayName": display_name, **fields}
            _, operation = self("POST", f"{self.parent}/endpoints", body)
            _, done = self("GET", operation["name"])
            names.append(done["response"]["name"])
        return names


@pytest.fixture
def http(idle_vertex: LocalVertex) -> Http:
    return Http(idle_vertex)


def test_an_operation_is_done_at_the_second_look(http: Http) -> None:
    status, operation = http("POST", f"{http.parent}/endpoints", {"displayName": "one"})
    _, looked = http("GET", operation["name"])

    assert (status, "done" in operation) == (200, False)
    assert operation["metadata"]["@type"].endswith("v1.CreateEndpointOperationMetadata")
    assert looked["done"] is True
    assert looked["response"]["displayName"] == "one"


def test_operations_are_listed_cancelled_and_deleted(http: Http, idle_vertex: LocalVertex) -> None:
    idle_vertex.backend.operations.looks = 3
    _, operation = http("POST", f"{http.parent}/endpoints", {"displayName": "one"})
    name = operation["name"]

    http("POST", f"{name}:cancel")
    _, cancelled = http("GET", name)
    _, listed = http("GET", f"{name.rsplit('/', 1)[0]}")
    http("DELETE", name)

    assert cancelled["error"]["code"] == 1
    assert [item["name"] for item in listed["operations"]] == [name]
    assert http("GET", name)[0] == 404


def test_waits_for_operations(http: Http, idle_vertex: LocalVertex) -> None:
    idle_vertex.backend.operations.looks = 100
    _, operation = http("POST", f"{http.parent}/endpoints", {"displayName": "one"})

    assert "done" not in http("GET", operation["name"])[1]
    assert http("POST", f"{operation['name']}:wait")[1]["done"] is True


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"displayNam": "one"}, 'Unknown name "displayNam": Cannot find field.'),
        ({"displayName": 1}, "displayName"),
        ({"displayName": "one", "labels": ["a"]}, "labels"),
        ({"displayName": "one", "labels": {"A": "b"}}, "Invalid label"),
        ({"labels": {"a": "b"}}, "Required field endpoint.display_name is not set."),
        (
            {"displayName": "one", "encryptionSpec": {"key": "x"}},
            "Unknown name \"key\" at 'encryptionSpec': Cannot find field.",
        ),
        ([], "Root element must be a message."),
    ],
)
def test_refuses_bad_bodies(http: Http, body: Any, message: str) -> None:
    status, answer = http("POST", f"{http.parent}/endpoints", body)

    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert message in answer["error"]["message"]


def test_refuses_bad_enum_values(http: Http) -> None:
    path = f"{http.parent}/tensorboards"
    wrong = {"displayName": "loss", "valueType": "COLOUR"}
    series = f"{path}/1/experiments/e/runs/r/timeSeries"

    assert http("POST", series, wrong)[0] == 400
    status, answer = http("POST", series, {**wrong, "valueType": 99})
    assert status == 400
    assert "99 is not a value" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("verb", "path", "status", "code"),
    [
        ("GET", "{parent}/models/1", 404, "NOT_FOUND"),
        ("GET", "{parent}/nothings", 501, "UNIMPLEMENTED"),
        ("POST", "{parent}/models:explode", 501, "UNIMPLEMENTED"),
        ("GET", "projects/other/locations/us-central1/models", 403, "PERMISSION_DENIED"),
        ("GET", "{parent}/tensorboards/1/experiments", 404, "NOT_FOUND"),
        ("GET", "{parent}/models?pageToken=x", 400, "INVALID_ARGUMENT"),
        ("GET", "{parent}/models?colour=red", 400, "INVALID_ARGUMENT"),
        ("GET", "{parent}/models?filter=colour%3Dred", 400, "INVALID_ARGUMENT"),
        ("GET", "{parent}/models?pageSize=-1", 400, "INVALID_ARGUMENT"),
    ],
)
def test_answers_as_google_does(http: Http, verb: str, path: str, status: int, code: str) -> None:
    got, answer = http(verb, path.format(parent=http.parent))

    assert got == answer["error"]["code"] == status
    assert answer["error"]["status"] == code
    assert answer["error"]["message"]


def test_refuses_an_id_that_is_taken(http: Http) -> None:
    path = f"{http.parent}/endpoints"
    assert http("POST", path, {"displayName": "one"}, endpointId="mine")[0] == 200

    status, answer = http("POST", path, {"displayName": "two"}, endpointId="mine")

    assert (status, answer["error"]["status"]) == (409, "ALREADY_EXISTS")


def test_the_path_wins_over_the_body(http: Http) -> None:
    (name,) = http.endpoints("one")
    body = {"name": f"{http.parent}/endpoints/other", "displayName": "renamed"}

    status, answer = http("PATCH", name, body, updateMask="displayName")

    assert (status, answer["name"], answer["displayName"]) == (200, name, "renamed")


def test_updates_only_what_the_mask_names(http: Http) -> None:
    (name,) = http.endpoints("one", description="first", labels={"a": "b"})

    _, answer = http(
        "PATCH", name, {"displayName": "two", "labels": {"c": "d"}}, updateMask="labels"
    )

    assert answer["displayName"] == "one"
    assert answer["labels"] == {"c": "d"}
    assert http("PATCH", name, {"displayName": "x"}, updateMask="colour")[0] == 400
    assert http("PATCH", name, {"displayName": "x"}, updateMask="create_time")[0] == 400


def test_an_etag_guards_an_update(http: Http) -> None:
    (name,) = http.endpoints("one")
    _, old = http("GET", name)
    _, new = http(
        "PATCH", name, {"displayName": "two", "etag": old["etag"]}, updateMask="displayName"
    )

    status, answer = http(
        "PATCH", name, {"displayName": "three", "etag": old["etag"]}, updateMask="displayName"
    )

    assert new["etag"] > old["etag"]
    assert (status, answer["error"]["status"]) == (409, "ABORTED")


def test_lists_page_by_page(http: Http) -> None:
    http.endpoints("e", "d", "c", "b", "a")
    path, query = f"{http.parent}/endpoints", {"pageSize": 2, "orderBy": "display_name"}

    pages, token = [], ""
    while True:
        _, page = http("GET", path, pageToken=token, **query)
        pages.append([item["displayName"] for item in page["endpoints"]])
        token = page.get("nextPageToken", "")
        if not token:
            break

    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    _, first = http("GET", path, **query)
    other = http("GET", path, pageToken=first["nextPageToken"], pageSize=2, filter="labels:a")
    assert other[0] == 400


def test_a_project_may_be_written_as_its_number(http: Http) -> None:
    (name,) = http.endpoints("one")

    by_number = name.replace("projects/test-project", "projects/1234")

    assert http("GET", by_number)[1]["name"] == name
    _, listed = http("GET", "projects/1234/locations/us-central1/endpoints")
    assert len(listed["endpoints"]) == 1


def test_both_versions_show_the_same_state(http: Http, idle_vertex: LocalVertex) -> None:
    (name,) = http.endpoints("one")

    answer = requests.get(f"{idle_vertex.rest_url}/v1beta1/{name}", timeout=10).json()
    created = requests.post(
        f"{idle_vertex.rest_url}/v1beta1/{http.parent}/endpoints",
        json={"displayName": "two"},
        timeout=10,
    ).json()

    assert answer["displayName"] == "one"
    assert created["metadata"]["@type"].endswith("v1beta1.CreateEndpointOperationMetadata")
    assert len(http("GET", f"{http.parent}/endpoints")[1]["endpoints"]) == 2


def test_answers_enums_as_numbers_if_asked(http: Http, idle_vertex: LocalVertex) -> None:
    job = {
        "displayName": "job",
        "jobSpec": {
            "workerPoolSpecs": [
                {
                    "machineSpec": {"machineType": "n1-standard-4"},
                    "replicaCount": 1,
                    "containerSpec": {"imageUri": "registry/image"},
                }
            ]
        },
    }
    _, created = http("POST", f"{http.parent}/customJobs", job)

    assert created["state"] == "JOB_STATE_PENDING"
    _, numbered = http("GET", created["name"], **{"$alt": "json;enum-encoding=int"})
    assert numbered["state"] == 2


def test_a_region_has_its_own_host(idle_vertex: LocalVertex) -> None:
    host = "https://us-central1-aiplatform.googleapis.com/v1/projects/test-project/locations"

    assert requests.get(f"{host}/us-central1/models", timeout=10).status_code == 200
    elsewhere = requests.get(f"{host}/europe-west4/models", timeout=10)

    assert elsewhere.status_code == 400
    assert "europe-west4" in elsewhere.json()["error"]["message"]


def test_logs_every_call(http: Http, idle_vertex: LocalVertex) -> None:
    http.endpoints("one")

    first = idle_vertex.requests[0]
    assert (first.method, first.api) == ("EndpointService.CreateEndpoint", "rest")
    assert first.body["endpoint"] == {"displayName": "one"}
