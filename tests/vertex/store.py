"""Every resource of the local Vertex AI by its name, whichever service owns it."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from google.protobuf.message import Message

from tests.vertex.errors import already_exists, not_found

M = TypeVar("M", bound=Message)


class Store(Mapping[str, Message]):
    """The resources; reading gives copies, so that only `put` changes what is stored.

    Names may spell the project as its id or as its number.

    Attributes:
        lock: Held while a call is served.
    """

    def __init__(self, canonical_name: Callable[[str], str]) -> None:
        self.lock = threading.RLock()
        self._canonical = canonical_name
        self._resources: dict[str, Message] = {}

    def __getitem__(self, name: str) -> Message:
        with self.lock:
            return copy.deepcopy(self._resources[self._canonical(name)])

    def __iter__(self) -> Iterator[str]:
        with self.lock:
            return iter(list(self._resources))

    def __len__(self) -> int:
        return len(self._resources)

    def fetch(self, name: str, kind: type[M]) -> M:
        """The resource of a name.

        Args:
            name: The resource's name.
            kind: Its class.

        Returns:
            A copy.

        Raises:
            ApiError: there is no such resource (404).
        """
        with self.lock:
            found = self._resources.get(self._canonical(name))
            if not isinstance(found, kind):
                raise not_found(name)
            return copy.deepcopy(found)

    def create(self, name: str, resource: Message) -> None:
        """Store a new resource.

        Args:
            name: Its name.
            resource: The resource.

        Raises:
            ApiError: the name is taken (409).
        """
        with self.lock:
            if self._canonical(name) in self._resources:
                raise already_exists(name)
            self.put(name, resource)

    def put(self, name: str, resource: Message) -> None:
        """Store a resource, in the place of the one that had the name."""
        with self.lock:
            self._resources[self._canonical(name)] = copy.deepcopy(resource)

    def remove(self, name: str) -> None:
        """Delete a resource and all that is under it.

        Raises:
            ApiError: there is no such resource (404).
        """
        with self.lock:
            name = self._canonical(name)
            if name not in self._resources:
                raise not_found(name)
            for other in list(self._resources):
                if other == name or other.startswith((f"{name}/", f"{name}@")):
                    del self._resources[other]

    def children(self, parent: str, collection: str, kind: type[M]) -> list[M]:
        """The resources of a collection, the oldest first.

        Args:
            parent: The parent's name; - stands for any id in it.
            collection: The collection, such as models.
            kind: The class of the resources.

        Returns:
            Copies.
        """
        parent_pattern = "/".join(
            "[^/]+" if part == "-" else re.escape(part)
            for part in self._canonical(parent).split("/")
        )
        pattern = re.compile(f"{parent_pattern}/{re.escape(collection)}/[^/@]+")
        with self.lock:
            return [
                copy.deepcopy(resource)
                for name, resource in self._resources.items()
                if isinstance(resource, kind) and pattern.fullmatch(name)
            ]

    def of_collection(self, collection: str) -> list[Message]:
        """The resources of a collection in every project and location, the oldest first."""
        pattern = re.compile(f"(?:.*/)?{re.escape(collection)}/[^/@]+")
        with self.lock:
            return [
                copy.deepcopy(resource)
                for name, resource in self._resources.items()
                if pattern.fullmatch(name)
            ]
