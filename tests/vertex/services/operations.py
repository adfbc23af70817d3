"""Operations, locations and IAM: the methods that every service shares."""

from __future__ import annotations

from typing import Any

from google.cloud.location import locations_pb2
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from tests.vertex.backend import Call, handles
from tests.vertex.services.checks import check_project


@handles("Operations.GetOperation")
def get_operation(call: Call, request: Any) -> Message:
    """Give an operation, done at the second look."""
    check_project(call, request.name)
    return call.backend.operations.look(_canonical(call, request.name))


@handles("Operations.WaitOperation")
def wait_operation(call: Call, request: Any) -> Message:
    """Give an operation, done."""
    return call.backend.operations.wait(_canonical(call, request.name))


@handles("Operations.ListOperations")
def list_operations(call: Call, request: Any) -> Message:
    """List the operations on a resource."""
    found = call.backend.operations.under(_canonical(call, request.name))
    return operations_pb2.ListOperationsResponse(operations=found)


@handles("Operations.CancelOperation")
def cancel_operation(call: Call, request: Any) -> Message:
    """Cancel an operation, if it is not done."""
    call.backend.operations.cancel(_canonical(call, request.name))
    return Empty()


@handles("Operations.DeleteOperation")
def delete_operation(call: Call, request: Any) -> Message:
    """Forget an operation."""
    call.backend.operations.delete(_canonical(call, request.name))
    return Empty()


@handles("Locations.GetLocation")
def get_location(call: Call, request: Any) -> Message:
    """Give a location."""
    check_project(call, request.name)
    return locations_pb2.Location(name=request.name, location_id=request.name.split("/")[-1])


@handles("IAMPolicy.TestIamPermissions")
def test_permissions(call: Call, request: Any) -> Message:
    """Say which of the permissions the caller has."""
    missing = call.backend.project_facts.missing_permissions
    granted = [permission for permission in request.permissions if permission not in missing]
    return iam_policy_pb2.TestIamPermissionsResponse(permissions=granted)


def _canonical(call: Call, name: str) -> str:
    return call.backend.project_facts.canonical_name(name)
