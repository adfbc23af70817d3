"""Long-running operations: their clients see at a later look that they are done.

The effect of most happens at once. Some have work that goes on beside the server: they are done, or
have failed, when it is.
"""

from __future__ import annotations

import concurrent.futures
import random
from concurrent.futures import Future
from dataclasses import dataclass

import grpc
from google.longrunning import operations_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from tests.vertex.clock import Clock
from tests.vertex.errors import ApiError, not_found
from tests.vertex.registry import message_type


@dataclass
class _Record:
    response: Message
    metadata: Message | None
    version: str
    looks_left: int
    work: Future[None] | None
    is_cancelled: bool = False

    @property
    def is_done(self) -> bool:
        return self.looks_left <= 0 and (self.work is None or self.work.done())

    @property
    def error(self) -> ApiError | None:
        if self.is_cancelled:
            return ApiError(grpc.StatusCode.CANCELLED, "The operation was cancelled.")
        failure = self.work.exception() if self.work is not None else None
        return failure if isinstance(failure, ApiError) or failure is None else _internal(failure)


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
        self,
        target: str,
        response: Message,
        metadata_type: str,
        version: str,
        work: Future[None] | None = None,
    ) -> operations_pb2.Operation:
        """Note an operation whose effect has happened, or happens with its work.

        Args:
            target: The resource that it works on: the operation's name is under it.
            response: What the operation ends with.
            metadata_type: The message of its metadata, such as CreateEndpointOperationMetadata.
            version: The version of the API that it was started with.
            work: What it waits for; an ApiError of it is the operation's error.

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
        self._records[name] = _Record(response, metadata, version, self.looks, work)
        return self.look(name)

    def look(self, name: str) -> operations_pb2.Operation:
        """An operation as the next look shows it.

        Raises:
            ApiError: there is none of that name (404).
        """
        record = self._record(name)
        done = record.is_done or record.is_cancelled
        record.looks_left -= 1
        return _operation(name, record, done)

    def wait(self, name: str) -> operations_pb2.Operation:
        """An operation once it is done."""
        record = self._record(name)
        record.looks_left = 0
        if record.work is not None:
            concurrent.futures.wait([record.work])
        return self.look(name)

    def under(self, target: str) -> list[operations_pb2.Operation]:
        """The operations on a resource."""
        names = [name for name in self._records if name.startswith(f"{target}/")]
        return [self.look(name) for name in names]

    def cancel(self, name: str) -> None:
        """Cancel an operation that is not done; best effort, so that its effect stays."""
        record = self._record(name)
        record.is_cancelled = not record.is_done

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
    if done and record.error is not None:
        operation.error.code = record.error.code.value[0]
        operation.error.message = record.error.message
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


def _internal(failure: BaseException) -> ApiError:
    return ApiError(grpc.StatusCode.INTERNAL, f"{type(failure).__name__}: {failure}")
