"""Uploads in several requests: resumable ones, and the multipart uploads of the XML API."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

from tests.vertex.storage.folder import FolderStorage, Upload
from tests.vertex.storage.messages import Request, Response
from tests.vertex.storage.preconditions import check

RESUME_INCOMPLETE = 308
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)")


def begin_resumable(request: Request, response: Response, storage: FolderStorage) -> None:
    """Begins a resumable upload: ``POST ...?uploadType=resumable``."""
    if "upload_id" in request.query:
        return continue_resumable(request, response, storage)
    meta = json.loads(request.body or b"{}")
    content_type = request.get_header("x-upload-content-type") or meta.get("contentType")
    name = request.option("name") or meta["name"]
    resource = _resource(request, name, content_type, meta)
    upload_id = storage.begin_upload(request.params["bucket_name"], resource, request.query)
    separator = "&" if "?" in request.target else "?"
    response["Location"] = f"{request.full_url}{separator}{urlencode({'upload_id': upload_id})}"
    response["X-GUploader-UploadID"] = upload_id
    return None


def continue_resumable(request: Request, response: Response, storage: FolderStorage) -> None:
    """Takes a chunk, or tells how much has come: ``PUT ...?upload_id=``."""
    upload = _upload(request.option("upload_id"), storage)
    if upload.finished is not None:
        return response.json(upload.finished)
    described = _RANGE.fullmatch(request.get_header("content-range") or "")
    total: str | None = str(len(request.body))
    if described is not None:
        total = described["total"] if described["total"] != "*" else None
        if described["first"] is not None and int(described["first"]) <= len(upload.content):
            # A chunk that is sent again overlaps what has come.
            del upload.content[int(described["first"]) :]
            upload.content += request.body
    else:
        upload.content += request.body
    if total is None or len(upload.content) < int(total):
        response.status = RESUME_INCOMPLETE
        if upload.content:
            response["Range"] = f"bytes=0-{len(upload.content) - 1}"
        return None
    upload.finished = _finish(upload, bytes(upload.content), storage)
    return response.json(upload.finished)


def begin_multipart(request: Request, response: Response, storage: FolderStorage) -> None:
    """Begins a multipart upload: ``POST /BUCKET/OBJECT?uploads``."""
    name = request.params["object_id"]
    resource = _resource(request, name, request.get_header("content-type"), {})
    upload_id = storage.begin_upload(request.params["bucket_name"], resource, request.query)
    response["Content-Type"] = "application/xml"
    response.write(
        f'<InitiateMultipartUploadResult xmlns="{_NAMESPACE}"><UploadId>{upload_id}</UploadId>'
        "</InitiateMultipartUploadResult>"
    )


def put_part(request: Request, response: Response, storage: FolderStorage) -> None:
    """Takes a part: ``PUT /BUCKET/OBJECT?partNumber=&uploadId=``."""
    upload = _upload(request.option("uploadId"), storage)
    upload.parts[int(request.option("partNumber"))] = request.body
    response["ETag"] = f'"{objects._md5(request.body)}"'
    response["X-Goog-Hash"] = f"crc32c={objects._crc32c(request.body)}"


def complete_multipart(request: Request, response: Response, storage: FolderStorage) -> None:
    """Joins the parts that the request lists: ``POST /BUCKET/OBJECT?uploadId=``."""
    upload_id = request.option("uploadId")
    upload = _upload(upload_id, storage)
    # Sent by the clients under test on loopback.
    listed = ElementTree.fromstring(request.body)
    numbers = [int(number.text or 0) for number in listed.iter() if number.tag.endswith("Number")]
    _finish(upload, b"".join(upload.parts[number] for number in numbers), storage)
    del storage.uploads[upload_id]
    response["Content-Type"] = "application/xml"
    response.write("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")


def abort(request: Request, response: Response, storage: FolderStorage) -> None:
    """Drops an upload of either kind: ``DELETE`` of its URL."""
    upload_id = request.option("upload_id") or request.option("uploadId")
    _upload(upload_id, storage)
    del storage.uploads[upload_id]
    response.status = HTTPStatus.NO_CONTENT


def _resource(
    request: Request, name: str, content_type: str | None, meta: dict[str, Any]
) -> dict[str, Any]:
    resource: dict[str, Any] = objects._make_object_resource(
        request.base_url,
        request.params["bucket_name"],
        name,
        content_type or "application/octet-stream",
        "0",
        meta,
    )
    return resource


def _upload(upload_id: str, storage: FolderStorage) -> Upload:
    try:
        return storage.uploads[upload_id]
    except KeyError:
        raise NotFound from None


def _finish(upload: Upload, content: bytes, storage: FolderStorage) -> dict[str, Any]:
    name = upload.resource["name"]
    check(upload.query, storage.find(upload.bucket, name))
    resource: dict[str, Any] = objects._checksums(content, upload.resource)
    storage.create_file(upload.bucket, name, content, resource)
    return resource
