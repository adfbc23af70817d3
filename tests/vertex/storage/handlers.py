"""Which handler answers a call: gcp-storage-emulator's, or one of those that it lacks."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from gcp_storage_emulator.exceptions import Conflict, NotFound
from gcp_storage_emulator.handlers import buckets, objects

from tests.vertex.storage import calls, uploads
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
        check(request.query, storage.find(bucket, source), "ifSource")
        bucket, name = request.params["dest_bucket_name"], request.params["dest_object_id"]
    elif not name and request.method in ("POST", "PUT"):
        name = _name_to_insert(request)
    if not name:
        return
    resource = storage.find(bucket, name)
    if resource is not None or request.method in ("POST", "PUT"):
        check(request.query, resource, reading=reading)
    pinned = request.option("sourceGeneration" if source != name else "generation")
    if pinned and source:
        present = storage.find(request.params["bucket_name"], source)
        if present is None or present["generation"] != pinned:
            raise NotFound


def _name_to_insert(request: Request) -> str:
    if request.option("uploadType") == "multipart":
        return request.option("name") or str(request.data["meta"].get("name", ""))
    return request.option("name")


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


_BUCKET = r"/b/(?P<bucket_name>[^/]+)"
_OBJECT = _BUCKET + r"/o/(?P<object_id>.+?)"
_DESTINATION = r"/b/(?P<dest_bucket_name>[^/]+)/o/(?P<dest_object_id>.+)"
_API = "/storage/v1"

_HANDLERS: list[tuple[str, dict[str, tuple[str, Handler]]]] = [
    (
        _API + "/b",
        {"GET": ("buckets.list", buckets.ls), "POST": ("buckets.insert", calls.insert_bucket)},
    ),
    (
        _API + _BUCKET,
        {
            "GET": ("buckets.get", buckets.get),
            "DELETE": ("buckets.delete", calls.delete_bucket),
            "PATCH": ("buckets.patch", calls.patch_bucket),
        },
    ),
    (
        _API + _BUCKET + "/iam/testPermissions",
        {"GET": ("buckets.testIamPermissions", calls.test_permissions)},
    ),
    (_API + _BUCKET + "/o", {"GET": ("objects.list", calls.list_objects)}),
    (_API + _OBJECT + "/copyTo" + _DESTINATION, {"POST": ("objects.copy", calls.copy)}),
    (_API + _OBJECT + "/rewriteTo" + _DESTINATION, {"POST": ("objects.rewrite", calls.rewrite)}),
    (
        _API + _OBJECT + "/moveTo/o/(?P<dest_object_id>.+)",
        {"POST": ("objects.move", calls.move)},
    ),
    (_API + _OBJECT + "/compose", {"POST": ("objects.compose", calls.compose)}),
    (
        _API + _OBJECT,
        {
            "GET": ("objects.get", calls.get_object),
            "DELETE": ("objects.delete", calls.delete_object),
            "PATCH": ("objects.patch", objects.patch),
        },
    ),
    (
        "(?:/resumable)?/upload" + _API + _BUCKET + "/o",
        {
            "POST": ("objects.insert", calls.insert_object),
            "PUT": ("objects.insert", uploads.continue_resumable),
            "DELETE": ("objects.insert", uploads.abort),
        },
    ),
    ("/download" + _API + _OBJECT, {"GET": ("objects.get", calls.download)}),
    ("/batch(?:/storage/v1)?", {"POST": ("batch", _batch)}),
    (
        r"/(?P<bucket_name>[^/]+)/(?P<object_id>.+)",
        {
            "GET": ("objects.get", calls.download),
            "PUT": ("objects.insert", calls.put_xml),
            "POST": ("objects.insert", calls.post_xml),
            "DELETE": ("objects.delete", calls.delete_xml),
        },
    ),
]
_ROUTES = [(re.compile(path), handlers) for path, handlers in _HANDLERS]
