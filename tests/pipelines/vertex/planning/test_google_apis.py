"""Questions to Google's REST APIs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from google.api_core import exceptions

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.vertex.planning.google_apis import GoogleApis
from tests.vertex.local_vertex import LocalVertex

PROJECT = "https://cloudresourcemanager.googleapis.com/v3/projects/test-project"


@pytest.fixture
def apis(vertex_server: LocalVertex) -> GoogleApis:
    return GoogleApis()


def test_what_is_there(apis: GoogleApis) -> None:
    assert apis.get(PROJECT, "read it")["name"] == "projects/1234"


def test_what_is_not_there(apis: GoogleApis) -> None:
    bucket = "https://storage.googleapis.com/storage/v1/b/none"
    assert apis.find(bucket, "read the bucket none") is None
    with pytest.raises(UserError, match="could not read the bucket none"):
        apis.get(bucket, "read the bucket none")


def test_what_is_refused(apis: GoogleApis, vertex_server: LocalVertex) -> None:
    vertex_server.faults.inject("cloudresourcemanager.projects.get", "permission")
    with pytest.raises(UserError) as caught:
        apis.get(PROJECT, "read it")
    assert isinstance(caught.value.__cause__, exceptions.Forbidden)


@pytest.mark.parametrize("kind", ["unavailable", "quota", "reset"])
def test_what_fails_is_asked_again(
    apis: GoogleApis, vertex_server: LocalVertex, no_backoff: None, kind: Any
) -> None:
    vertex_server.faults.inject("cloudresourcemanager.projects.get", kind, 3)
    assert apis.get(PROJECT, "read it")["projectId"] == "test-project"


def answer(status: int, content: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response._content = status, content.encode()
    response.request = requests.Request("GET", "https://x").prepare()
    return response


def test_lists_are_read_to_their_end(apis: GoogleApis, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = iter([{"items": [1, 2], "nextPageToken": "t"}, {}, {"items": [3]}])
    asked: list[str] = []

    def request(_: str, url: str, **__: Any) -> requests.Response:
        asked.append(url)
        return answer(200, json.dumps(next(pages)))

    monkeypatch.setattr(apis._session, "request", request)
    assert list(apis.pages("https://x/y", "items", "list")) == [1, 2]
    assert asked == ["https://x/y?pageSize=500&pageToken=", "https://x/y?pageSize=500&pageToken=t"]


def test_no_json(apis: GoogleApis, no_backoff: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apis._session, "request", lambda *_, **__: answer(200, "<html>"))
    with pytest.raises(UserError, match="did not answer with JSON"):
        apis.get("https://x", "read it")
