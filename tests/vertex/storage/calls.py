"""The calls that gcp-storage-emulator lacks, or answers only in part."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import buckets, objects

from tests.vertex.storage import uploads
from tests.vertex.storage.folder import FolderStorage
from tests.vertex.storage.messages import Request, Response
from tests.vertex.storage.preconditions import check

_BYTES = re.compile(r"bytes=(?P<first>\d*)-(?P<last>\d*)")


def insert_bucket(request: Request, response: Response, storage: FolderStorage) -> None:
    """Makes a bucket in the location that is asked for."""
    buckets.insert(request, response, storage)
    resource = storage.get_bucket(request.data["name"])
    if response.status == HTTPStatus.OK and resource is not None:
        location = request.data.get("location", "US").upper()
        resource |= request.data
        resource |= {
            "location": location,
            "locationType": "region" if "-" in location else "multi-region",
        }
        response.json(resource)


def patch_bucket(request: Request, response: Response, storage: FolderStorage) -> None:
    """Changes fields of a bucket."""
    resource = storage.get_bucket(request.params["bucket_name"])
    if resource is None:
        raise NotFound
    resource |= request.data
    resource["metageneration"] = str(int(resource["metageneration"]) + 1)
    response.json(resource)


def test_permissions(request: Request, response: Response, storage: FolderStorage) -> None:
    """Grants every permission that is asked for."""
    if storage.get_bucket(request.params["bucket_name"]) is None:
        raise NotFound
    granted = request.query.get("permissions", [])
    response.json({"kind": "storage#testIamPermissionsResponse", "permissions": granted})


def list_objects(request: Request, response: Response, storage: FolderStorage) -> None:
    """Lists objects and folders, in pages."""
    prefix, delimiter = request.option("prefix"), request.option("delimiter")
    listed: dict[str, dict[str, Any] | None] = {}
    for resource in storage.get_file_list(request.params["bucket_name"], prefix):
        name = resource["name"]
        folder, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        if cut:
            listed[prefix + folder + delimiter] = None
        else:
            listed[name] = resource
    after, before = request.option("startOffset"), request.option("endOffset")
    names = [name for name in listed if name >= after and (not before or name < before)]
    first = int(request.option("pageToken", "0"))
    size = int(request.option("maxResults", "1000"))
    page = names[first : first + size]
    found = {
        "kind": "storage#objects",
        "items": [listed[name] for name in page if listed[name] is not None],
        "prefixes": [name for name in page if listed[name] is None],
    }
    if len(names) > first + size:
        found["nextPageToken"] = str(first + size)
    response.json(found)


def insert_object(request: Request, response: Response, storage: FolderStorage) -> None:
    """Takes an upload in one request, or begins one in several."""
    if request.option("uploadType") == "resumable":
        uploads.begin_resumable(request, response, storage)
    else:
        objects.insert(request, response, storage)


def get_object(request: Request, response: Response, storage: FolderStorage) -> None:
    """Answers with an object's resource or content."""
    if request.option("alt") == "media":
        download(request, response, storage)
    else:
        objects.get(request, response, storage)


def download(request: Request, response: Response, storage: FolderStorage) -> None:
    """Answers with an object's content, or a range of it."""
    name = request.params["bucket_name"], request.params["object_id"]
    content, resource = storage.get_file(*name), storage.get_file_obj(*name)
    response["Content-Type"] = resource["contentType"] or "application/octet-stream"
    response["X-Goog-Generation"] = resource["generation"]
    response["X-Goog-Metageneration"] = resource["metageneration"]
    response["X-Goog-Hash"] = f"crc32c={resource['crc32c']},md5={resource['md5Hash']}"
    response["X-Goog-Stored-Content-Length"] = str(len(content))
    response["ETag"] = resource["etag"]
    wanted = _BYTES.fullmatch(request.get_header("range") or "")
    if wanted is None:
        response.content = content
        return
    first, last = wanted["first"], wanted["last"]
    start = int(first) if first else max(0, len(content) - int(last))
    end = int(last) + 1 if first and last else len(content)
    if start >= len(content):
        response["Content-Range"] = f"bytes */{len(content)}"
        response.error(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "nothing there",
            "requestedRangeNotSatisfiable",
        )
        return
    response.status = HTTPStatus.PARTIAL_CONTENT
    response.content = content[start:end]
    response["Content-Range"] = f"bytes {start}-{start + len(response.content) - 1}/{len(content)}"


def rewrite(request: Request, response: Response, storage: FolderStorage) -> None:
    """Copies an object, always in one step."""
    copy(request, response, storage)
    name = request.params["dest_bucket_name"], request.params["dest_object_id"]
    resource = storage.get_file_obj(*name)
    response.json(
        {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": resource["size"],
            "objectSize": resource["size"],
            "done": True,
            "resource": resource,
        }
    )


def move(request: Request, response: Response, storage: FolderStorage) -> None:
    """Renames an object."""
    copy(request, response, storage)
    storage.delete_file(request.params["bucket_name"], request.params["object_id"])


def copy(request: Request, response: Response, storage: FolderStorage) -> None:
    """Copies an object."""
    objects.copy(request, response, storage)
    if response.status == HTTPStatus.NOT_FOUND:
        raise NotFound


def compose(request: Request, response: Response, storage: FolderStorage) -> None:
    """Joins objects; each may have a condition of its own."""
    for source in request.data["sourceObjects"]:
        present = storage.find(request.params["bucket_name"], source["name"])
        wanted = {"ifGenerationMatch": source.get("generation")}
        wanted |= source.get("objectPreconditions", {})
        check({name: [str(value)] for name, value in wanted.items() if value}, present)
    objects.compose(request, response, storage)


def delete_object(request: Request, response: Response, storage: FolderStorage) -> None:
    """Removes an object."""
    storage.delete_file(request.params["bucket_name"], request.params["object_id"])
    response.status = HTTPStatus.NO_CONTENT


def delete_bucket(request: Request, response: Response, storage: FolderStorage) -> None:
    """Removes an empty bucket."""
    storage.delete_bucket(request.params["bucket_name"])
    response.status = HTTPStatus.NO_CONTENT


def post_xml(request: Request, response: Response, storage: FolderStorage) -> None:
    """Begins or completes a multipart upload of the XML API."""
    begin = "uploads" in request.query
    (uploads.begin_multipart if begin else uploads.complete_multipart)(request, response, storage)


def put_xml(request: Request, response: Response, storage: FolderStorage) -> None:
    """Takes an object, or a part of one, by the XML API."""
    put = uploads.put_part if "partNumber" in request.query else objects.xml_upload
    put(request, response, storage)


def delete_xml(request: Request, response: Response, storage: FolderStorage) -> None:
    """Removes an object, or drops an upload, by the XML API."""
    abort_or_delete = uploads.abort if "uploadId" in request.query else delete_object
    abort_or_delete(request, response, storage)
