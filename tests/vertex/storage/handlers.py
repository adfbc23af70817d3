"""Which handler answers a call: gcp-storage-emulator's, or one of those that it lacks."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from gcp_storage_emulator.exceptions import Conflict, NotFound
from gcp_storage_emulator.handlers import buckets, objects

from tests.vertex.storage import uploads
from tests.vertex.storage.folder import FolderStorage
from tests.vertex.storage.messages import Request, Response, multipart
from tests.vertex.storage.preconditions import PreconditionFailed, check

Handler = Callable[[Request, Response, FolderStorage], Any]


def method_name(request: Request) -> str:
    """Names a call as Google's API does, such as ``storage.objects.insert``."""
    return f"storage.{_route(request)[0]}"


def answer(request: Request, storage: FolderStorage) -> Response:
    """Answers a call, all or nothing.

    Args:
        request: The call.
        storage: Where the objects are.

    Returns:
        The response; an error is one too.
    """
    response = Response()
    _, handler = _route(request)
    try:
        with storage.lock:
            _check_preconditions(request, storage)
            handler(request, response, storage)
    except PreconditionFailed as error:
        response.error(error.status, str(error), "conditionNotMet")
    except NotFound:
        response.status = HTTPStatus.NOT_FOUND
    except Conflict as error:
        response.error(HTTPStatus.CONFLICT, str(error), "conflict")
    if response.status == HTTPStatus.NOT_FOUND:
        what = "/".join(request.params.values())
        response.error(HTTPStatus.NOT_FOUND, f"No such object or bucket: {what}", "notFound")
    return response


def _route(request: Request) -> tuple[str, Handler]:
    method = request.headers.get("x-http-method-override", request.method)
    for pattern, handlers in _ROUTES:
        match = pattern.fullmatch(request.path)
        if match is not None and method in handlers:
            request.params = {name: unquote(value) for name, value in match.groupdict().items()}
            if "dest_object_id" in request.params:
                request.params.setdefault("dest_bucket_name", request.params["bucket_name"])
            return handlers[method]
    return "unknown", _not_implemented


def _not_implemented(request: Request, response: Response, storage: FolderStorage) -> None:
    message = f"{request.method} {request.path}"
    response.error(HTTPStatus.NOT_IMPLEMENTED, message, "notImplemented")


def _check_preconditions(request: Request, storage: FolderStorage) -> None:
    reading = request.method == "GET"
    bucket = request.params.get("bucket_name", "")
    source = name = request.params.get("object_id", "")
    if "dest_object_id" in request.params:
        check(request.query, _resource(storage, bucket, source), "ifSource")
        bucket, name = request.params["dest_bucket_name"], request.params["dest_object_id"]
    elif not name and request.method in ("POST", "PUT"):
        name = _name_to_insert(request)
    if not name:
        return
    resource = _resource(storage, bucket, name)
    if resource is not None or request.method in ("POST", "PUT"):
        check(request.query, resource, reading=reading)
    pinned = request.option("sourceGeneration" if source != name else "generation")
    if pinned and source:
        present = _resource(storage, request.params["bucket_name"], source)
        if present is None or present["generation"] != pinned:
            raise NotFound


def _name_to_insert(request: Request) -> str:
    if request.option("uploadType") == "multipart":
        return request.option("name") or str(request.data["meta"].get("name", ""))
    return request.option("name")


def _resource(storage: FolderStorage, bucket: str, name: str) -> dict[str, Any] | None:
    try:
        return storage.get_file_obj(bucket, name)
    except NotFound:
        return None


def _insert_bucket(request: Request, response: Response, storage: FolderStorage) -> None:
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


def _patch_bucket(request: Request, response: Response, storage: FolderStorage) -> None:
    resource = storage.get_bucket(request.params["bucket_name"])
    if resource is None:
        raise NotFound
    resource |= request.data
    resource["metageneration"] = str(int(resource["metageneration"]) + 1)
    response.json(resource)


def _test_permissions(request: Request, response: Response, storage: FolderStorage) -> None:
    if storage.get_bucket(request.params["bucket_name"]) is None:
        raise NotFound
    granted = request.query.get("permissions", [])
    response.json({"kind": "storage#testIamPermissionsResponse", "permissions": granted})


def _list(request: Request, response: Response, storage: FolderStorage) -> None:
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
    answer = {
        "kind": "storage#objects",
        "items": [listed[name] for name in page if listed[name] is not None],
        "prefixes": [name for name in page if listed[name] is None],
    }
    if len(names) > first + size:
        answer["nextPageToken"] = str(first + size)
    response.json(answer)


def _insert(request: Request, response: Response, storage: FolderStorage) -> None:
    if request.option("uploadType") == "resumable":
        uploads.begin_resumable(request, response, storage)
    else:
        objects.insert(request, response, storage)


def _get(request: Request, response: Response, storage: FolderStorage) -> None:
    if request.option("alt") == "media":
        _download(request, response, storage)
    else:
        objects.get(request, response, storage)


def _download(request: Request, response: Response, storage: FolderStorage) -> None:
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


def _rewrite(request: Request, response: Response, storage: FolderStorage) -> None:
    _copy(request, response, storage)
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


def _move(request: Request, response: Response, storage: FolderStorage) -> None:
    _copy(request, response, storage)
    storage.delete_file(request.params["bucket_name"], request.params["object_id"])


def _copy(request: Request, response: Response, storage: FolderStorage) -> None:
    objects.copy(request, response, storage)
    if response.status == HTTPStatus.NOT_FOUND:
        raise NotFound


def _compose(request: Request, response: Response, storage: FolderStorage) -> None:
    for source in request.data["sourceObjects"]:
        present = _resource(storage, request.params["bucket_name"], source["name"])
        wanted = {"ifGenerationMatch": source.get("generation")}
        wanted |= source.get("objectPreconditions", {})
        check({name: [str(value)] for name, value in wanted.items() if value}, present)
    objects.compose(request, response, storage)


def _delete(request: Request, response: Response, storage: FolderStorage) -> None:
    storage.delete_file(request.params["bucket_name"], request.params["object_id"])
    response.status = HTTPStatus.NO_CONTENT


def _delete_bucket(request: Request, response: Response, storage: FolderStorage) -> None:
    storage.delete_bucket(request.params["bucket_name"])
    response.status = HTTPStatus.NO_CONTENT


def _post_xml(request: Request, response: Response, storage: FolderStorage) -> None:
    begin = "uploads" in request.query
    (uploads.begin_multipart if begin else uploads.complete_multipart)(request, response, storage)


def _put_xml(request: Request, response: Response, storage: FolderStorage) -> None:
    put = uploads.put_part if "partNumber" in request.query else objects.xml_upload
    put(request, response, storage)


def _delete_xml(request: Request, response: Response, storage: FolderStorage) -> None:
    abort_or_delete = uploads.abort if "uploadId" in request.query else _delete
    abort_or_delete(request, response, storage)


def _batch(request: Request, response: Response, storage: FolderStorage) -> None:
    """Answers each call of a batch as if it had come alone; one may fail, others not."""
    response["Content-Type"] = "multipart/mixed; boundary=batch"
    for headers, content in multipart(request.headers["content-type"], request.body):
        head, _, body = content.replace(b"\r\n", b"\n").partition(b"\n\n")
        first, *lines = head.decode().splitlines()
        method, target, _ = first.split(" ")
        names = (line.partition(":") for line in lines)
        inner = Request(
            method,
            target,
            {name.strip().lower(): value.strip() for name, _, value in names},
            body,
            request.base_url,
        )
        result = answer(inner, storage)
        content_id = headers.get("content-id", "").strip("<>")
        response.write(
            "--batch\r\nContent-Type: application/http\r\n"
            f"Content-ID: <response-{content_id}>\r\n\r\n"
            f"HTTP/1.1 {int(result.status)} {HTTPStatus(result.status).phrase}\r\n"
            "Content-Type: application/json; charset=UTF-8\r\n"
            f"Content-Length: {len(result.content)}\r\n\r\n{result.content.decode()}\r\n"
        )
    response.write("--batch--\r\n")


_BYTES = re.compile(r"bytes=(?P<first>\d*)-(?P<last>\d*)")

_BUCKET = r"/b/(?P<bucket_name>[^/]+)"
_OBJECT = _BUCKET + r"/o/(?P<object_id>.+?)"
_DESTINATION = r"/b/(?P<dest_bucket_name>[^/]+)/o/(?P<dest_object_id>.+)"
_API = "/storage/v1"

_HANDLERS: list[tuple[str, dict[str, tuple[str, Handler]]]] = [
    (
        _API + "/b",
        {"GET": ("buckets.list", buckets.ls), "POST": ("buckets.insert", _insert_bucket)},
    ),
    (
        _API + _BUCKET,
        {
            "GET": ("buckets.get", buckets.get),
            "DELETE": ("buckets.delete", _delete_bucket),
            "PATCH": ("buckets.patch", _patch_bucket),
        },
    ),
    (
        _API + _BUCKET + "/iam/testPermissions",
        {"GET": ("buckets.testIamPermissions", _test_permissions)},
    ),
    (_API + _BUCKET + "/o", {"GET": ("objects.list", _list)}),
    (_API + _OBJECT + "/copyTo" + _DESTINATION, {"POST": ("objects.copy", _copy)}),
    (_API + _OBJECT + "/rewriteTo" + _DESTINATION, {"POST": ("objects.rewrite", _rewrite)}),
    (
        _API + _OBJECT + "/moveTo/o/(?P<dest_object_id>.+)",
        {"POST": ("objects.move", _move)},
    ),
    (_API + _OBJECT + "/compose", {"POST": ("objects.compose", _compose)}),
    (
        _API + _OBJECT,
        {
            "GET": ("objects.get", _get),
            "DELETE": ("objects.delete", _delete),
            "PATCH": ("objects.patch", objects.patch),
        },
    ),
    (
        "(?:/resumable)?/upload" + _API + _BUCKET + "/o",
        {
            "POST": ("objects.insert", _insert),
            "PUT": ("objects.insert", uploads.continue_resumable),
            "DELETE": ("objects.insert", uploads.abort),
        },
    ),
    ("/download" + _API + _OBJECT, {"GET": ("objects.get", _download)}),
    ("/batch(?:/storage/v1)?", {"POST": ("batch", _batch)}),
    (
        r"/(?P<bucket_name>[^/]+)/(?P<object_id>.+)",
        {
            "GET": ("objects.get", _download),
            "PUT": ("objects.insert", _put_xml),
            "POST": ("objects.insert", _post_xml),
            "DELETE": ("objects.delete", _delete_xml),
        },
    ),
]
_ROUTES = [(re.compile(path), handlers) for path, handlers in _HANDLERS]
