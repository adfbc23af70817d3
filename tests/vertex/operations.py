"""Long-running operations: their effect happens at once, their clients see it at a later look."""

from __future__ import annotations

import random
from dataclasses import dataclass

import grpc
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from tests.vertex.clock import Clock
from tests.vertex.errors import not_found
from tests.vertex.registry import message_type


@dataclass
class _Record:
    response: Message
    metadata: Message | None
    version: str
    looks_left: int
    is_cancelled: bool = False


class Operations:
    """All operations.

    Attributes:
        looks: How often a client sees an operation that is not done, the first answer included.
    """

    def __init__(self, clock: Clock) -> None:
        self.looks = 1
        self._clock = clock
        self._records: dict[str, _Record] = {}

    def start(
        self, target: str, response: Message, metadata_type: str, version: str
    ) -> operations_pb2.Operation:
        """Note an operation whose effect has happened.

        Args:
            target: The resource that it works on: the operation's name is under it.
            response: What the operation ends with.
            metadata_type: The message of its metadata, such as CreateEndpointOperationMetadata.
            version: The version of the API that it was started with.

        Returns:
            The operation as its first answer shows it.
        """
        name = f"{target.split('@')[0]}/operations/{random.randrange(10**17, 10**18)}"
        metadata_class = message_type(metadata_type)
        metadata = metadata_class() if metadata_class else None
        if metadata is not None and "generic_metadata" in metadata.DESCRIPTOR.fields_by_name:
            generic = metadata.generic_metadata
            generic.create_time.CopyFrom(self._clock.timestamp())
            generic.update_time.CopyFrom(generic.create_time)
        self._records[name] = _Record(response, metadata, version, self.looks)
        return self.look(name)

    def look(self, name: str) -> operations_pb2.Operation:
        """An operation as the next look shows it.

        Raises:
            ApiError: there is none of that name (404).
        """
        record = self._record(name)
        done = record.looks_left <= 0 or record.is_cancelled
        record.looks_left -= 1
        return _operation(name, record, done)

    def wait(self, name: str) -> operations_pb2.Operation:
        """An operation once it is done."""
        self._record(name).looks_left = 0
        return self.look(name)

    def under(self, target: str) -> list[operations_pb2.Operation]:
        """The operations on a resource."""
        names = [name for name in self._records if name.startswith(f"{target}/")]
        return [self.look(name) for name in names]

    def cancel(self, name: str) -> None:
        """Cancel an operation that is not done; best effort, so that its effect stays."""
        record = self._record(name)
        record.is_cancelled = record.looks_left > 0

    def delete(self, name: str) -> None:
        """Forget an operation."""
        self._record(name)
        del self._records[name]

    def _record(self, name: str) -> _Record:
        if name not in self._records:
            raise not_found(name)
        return self._records[name]


def _operation(name: str, record: _Record, done: bool) -> operations_pb2.Operation:
    operation = operations_pb2.Operation(name=name, done=done)
    if record.metadata is not None:
        operation.metadata.Pack(in_version(record.metadata, record.version))
    if record.is_cancelled:
        operation.error.code = grpc.StatusCode.CANCELLED.value[0]
        operation.error.message = "The operation was cancelled."
    elif done:
        operation.response.Pack(in_version(record.response, record.version))
    return operation


def in_version(message: Message, version: str) -> Message:
    """A message of v1 as the same message of another version of the API.

    Args:
        message: The message.
        version: v1 or v1beta1.

    Returns:
        The message of that version; the same one if it belongs to no version.
    """
    full_name = message.DESCRIPTOR.full_name
    if isinstance(message, Empty) or not full_name.startswith("google.cloud.aiplatform."):
        return message
    kind = message_type(message.DESCRIPTOR.name, version)
    if kind is None or isinstance(message, kind):
        return message
    return kind.FromString(message.SerializeToString())
