"""Buckets and objects as folders and plain files.

``FolderStorage`` has the methods that the handlers of gcp-storage-emulator call on their own
storage class, which keeps all metadata in one JSON file, sees no file that others wrote, and gives
every object written in one second the same generation.
"""

from __future__ import annotations

import contextlib
import itertools
import mimetypes
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gcp_storage_emulator.exceptions import Conflict, NotFound
from gcp_storage_emulator.handlers import buckets as bucket_handlers
from gcp_storage_emulator.handlers import objects as object_handlers

# In the root, beside the buckets, whose names cannot begin so.
_INCOMING = ".incoming"


@dataclass
class _Known:
    """The metadata of a file, valid while the file is the one that they were made for."""

    signature: tuple[int, int, int]
    resource: dict[str, Any]


@dataclass
class Upload:
    """An upload in several requests.

    Attributes:
        bucket: Where to.
        resource: Of the object to be.
        query: Of the request that began the upload; its preconditions hold for the last one.
        content: What has come of a resumable upload.
        parts: What has come of a multipart upload, by part number.
        finished: The resource of the object, when it is complete.
    """

    bucket: str
    resource: dict[str, Any]
    query: dict[str, list[str]]
    content: bytearray = field(default_factory=bytearray)
    parts: dict[int, bytes] = field(default_factory=dict)
    finished: dict[str, Any] | None = None


class FolderStorage:
    """A folder of buckets, each a folder of objects.

    Attributes:
        root: The folder.
        lock: Held for a whole request, so that a precondition and its write are one step.
        uploads: Those not yet complete, by id.
        base_url: Of the server, for the links in resources.
    """

    base_url = ""

    def __init__(self, root: Path) -> None:
        """Takes the folder.

        Args:
            root: Made where it is not there.
        """
        self.root = root
        self.lock = threading.RLock()
        self.uploads: dict[str, Upload] = {}
        self._bucket_resources: dict[str, dict[str, Any]] = {}
        self._known: dict[Path, _Known] = {}
        self._generations = itertools.count(time.time_ns() // 1000)
        (root / _INCOMING).mkdir(parents=True, exist_ok=True)

    @property
    def buckets(self) -> dict[str, dict[str, Any]]:
        """The resource of every bucket, by name."""
        names = sorted(path.name for path in self.root.iterdir() if path.name != _INCOMING)
        return {name: self.bucket_resource(name) for name in names}

    def get_bucket(self, bucket_name: str) -> dict[str, Any] | None:
        """Returns a bucket's resource, or None where there is no such bucket."""
        return self.buckets.get(bucket_name)

    def create_bucket(self, bucket_name: str, bucket_obj: dict[str, Any]) -> dict[str, Any]:
        """Makes a bucket; one that is there takes the new resource."""
        (self.root / bucket_name).mkdir(exist_ok=True)
        self._bucket_resources[bucket_name] = bucket_obj
        return bucket_obj

    def delete_bucket(self, bucket_name: str) -> None:
        """Removes an empty bucket.

        Raises:
            NotFound: If it is not there.
            Conflict: If it has objects.
        """
        if next(self._files(bucket_name), None) is not None:
            raise Conflict(f"The bucket {bucket_name} you tried to delete is not empty.")
        with contextlib.suppress(KeyError):
            del self._bucket_resources[bucket_name]
        _remove_empty_folders(self.root / bucket_name)
        (self.root / bucket_name).rmdir()

    def get_file_list(self, bucket_name: str, prefix: str = "") -> list[dict[str, Any]]:
        """Returns the resource of every object whose name begins so, in order of their names."""
        folder = self.root / bucket_name
        names = (path.relative_to(folder).as_posix() for path in self._files(bucket_name))
        found = sorted(name for name in names if name.startswith(prefix))
        return [self.get_file_obj(bucket_name, name) for name in found]

    def get_file_obj(self, bucket_name: str, file_name: str) -> dict[str, Any]:
        """Returns an object's resource; of one that others wrote, it is made now.

        Raises:
            NotFound: If there is no such object.
        """
        path = self._path(bucket_name, file_name)
        try:
            signature = _signature(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._known.pop(path, None)
            raise NotFound from None
        known = self._known.get(path)
        if known is None or known.signature != signature:
            content = path.read_bytes()
            content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            resource = object_handlers._make_object_resource(
                self.base_url, bucket_name, file_name, content_type, str(len(content))
            )
            self._remember(path, object_handlers._checksums(content, resource))
        return self._known[path].resource

    def find(self, bucket_name: str, file_name: str) -> dict[str, Any] | None:
        """Returns an object's resource, or None where there is no such object."""
        try:
            return self.get_file_obj(bucket_name, file_name)
        except NotFound:
            return None

    def get_file(self, bucket_name: str, file_name: str, show_error: bool = True) -> bytes:
        """Returns an object's content.

        Raises:
            NotFound: If there is no such object.
        """
        self.get_file_obj(bucket_name, file_name)
        return self._path(bucket_name, file_name).read_bytes()

    def create_file(
        self, bucket_name: str, file_name: str, content: bytes, file_obj: dict[str, Any]
    ) -> None:
        """Writes an object in one step, and gives its resource a new generation.

        Raises:
            NotFound: If the bucket is not there.
            Conflict: If files cannot have this name beside the names that are there.
        """
        if self.get_bucket(bucket_name) is None:
            raise NotFound
        path = self._path(bucket_name, file_name)
        incoming = self.root / _INCOMING / secrets.token_hex(8)
        incoming.write_bytes(content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            incoming.replace(path)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            incoming.unlink()
            raise Conflict(f"{file_name}: a file and a folder of one name ({error})") from error
        file_obj["size"] = str(len(content))
        self._remember(path, file_obj)

    def patch_object(self, bucket_name: str, file_name: str, file_obj: dict[str, Any]) -> None:
        """Takes an object's changed resource."""
        self._known[self._path(bucket_name, file_name)].resource = file_obj

    def delete_file(self, bucket_name: str, file_name: str) -> None:
        """Removes an object, and the folders that it leaves empty.

        Raises:
            NotFound: If there is no such object.
        """
        self.get_file_obj(bucket_name, file_name)
        path = self._path(bucket_name, file_name)
        path.unlink()
        del self._known[path]
        with contextlib.suppress(OSError):
            for folder in itertools.takewhile(
                lambda parent: parent != self.root / bucket_name, path.parents
            ):
                folder.rmdir()

    def begin_upload(
        self, bucket: str, resource: dict[str, Any], query: dict[str, list[str]]
    ) -> str:
        """Begins an upload in several requests.

        Returns:
            Its id.

        Raises:
            NotFound: If the bucket is not there.
        """
        if self.get_bucket(bucket) is None:
            raise NotFound
        upload_id = secrets.token_urlsafe(24)
        self.uploads[upload_id] = Upload(bucket, resource, query)
        return upload_id

    def bucket_resource(self, name: str) -> dict[str, Any]:
        """Returns a bucket's resource, the usual one where none was given."""
        if name not in self._bucket_resources:
            self._bucket_resources[name] = bucket_handlers._make_bucket_resource(name)
        return self._bucket_resources[name]

    def _files(self, bucket_name: str) -> Iterator[Path]:
        if self.get_bucket(bucket_name) is None:
            raise NotFound
        return (path for path in (self.root / bucket_name).rglob("*") if path.is_file())

    def _path(self, bucket_name: str, file_name: str) -> Path:
        if ".." in file_name.split("/"):
            raise Conflict(f"{file_name} would lie outside of the bucket.")
        return self.root / bucket_name / file_name

    def _remember(self, path: Path, resource: dict[str, Any]) -> None:
        generation = str(next(self._generations))
        resource |= {"generation": generation, "metageneration": "1"}
        resource["id"] = f"{resource['bucket']}/{resource['name']}/{generation}"
        link, _, _ = str(resource["mediaLink"]).partition("?")
        resource["mediaLink"] = f"{link}?generation={generation}&alt=media"
        self._known[path] = _Known(_signature(path), resource)


def _signature(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    if path.is_dir():
        raise IsADirectoryError(path)
    return status.st_mtime_ns, status.st_size, status.st_ino


def _remove_empty_folders(folder: Path) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        if Path(path) != folder:
            Path(path).rmdir()
