"""The gRPC side of the Cloud Resource Manager, which the SDK asks for project numbers."""

from __future__ import annotations

from typing import Any

from google.cloud import resourcemanager_v3
from google.iam.v1 import iam_policy_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from tests.vertex.backend import Backend
from tests.vertex.services import project

_HOST = "cloudresourcemanager.googleapis.com"
_SERVICE = "/google.cloud.resourcemanager.v3.Projects"

METHODS: dict[str, type[Message]] = {
    f"{_SERVICE}/GetProject": resourcemanager_v3.GetProjectRequest.pb(),
    f"{_SERVICE}/TestIamPermissions": iam_policy_pb2.TestIamPermissionsRequest,
}


def serve(backend: Backend, path: str, request: Any) -> Message:
    """Answer as the REST side does.

    Args:
        backend: The state.
        path: The gRPC path, one of `METHODS`.
        request: The request.

    Returns:
        The response.
    """
    if path.endswith("GetProject"):
        answer = project.serve(backend, "GET", _HOST, f"/v3/{request.name}", {}, b"")
        found: Message = json_format.ParseDict(answer, resourcemanager_v3.Project.pb()())
        return found
    body = json_format.MessageToJson(request).encode()
    url = f"/v3/{request.resource}:testIamPermissions"
    answer = project.serve(backend, "POST", _HOST, url, {}, body)
    return iam_policy_pb2.TestIamPermissionsResponse(**answer)
