"""Files by URI: local paths and everything that fsspec opens (gs://, s3://, memory:// ...)."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

import fsspec
from fsspec.core import OpenFile, get_compression, url_to_fs
from fsspec.implementations.local import LocalFileSystem

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.folders import written_atomically
from kfp_llm_tuning.components.common.input_stream import InputStream
from kfp_llm_tuning.components.common.wording import one_line

# fsspec's own packages for schemes that a plain install does not open.
_PACKAGE_OF_SCHEME = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "abfs": "adlfs", "az": "adlfs"}

# Where gcsfs finds Cloud Storage, and how long it is waited for.
_EMULATOR_VARIABLE, _CLOUD_STORAGE = "STORAGE_EMULATOR_HOST", "https://storage.googleapis.com"
_REACH_SECONDS = 5.0

# Where Vertex AI mounts buckets, each in a folder of its name.
_MOUNT = "/gcs/"


def is_local(uri: str) -> bool:
    """Tells whether the URI is a path of this machine; a bucket's that is not mounted is none."""
    return ("://" not in uri or uri.startswith("file://")) and without_mount(uri) == uri


def is_mounted_bucket(uri: str) -> bool:
    """Tells whether the path is of the form in which Vertex AI mounts buckets."""
    return uri.startswith(_MOUNT) and uri != _MOUNT


def without_mount(uri: str) -> str:
    """Gives ``gs://BUCKET/OBJECT`` for ``/gcs/BUCKET/OBJECT`` where that bucket is not mounted.

    Args:
        uri: Local path or any URI.

    Returns:
        The same object under a name that this machine can open; every other URI as it is.
    """
    if not is_mounted_bucket(uri):
        return uri
    bucket = uri.removeprefix(_MOUNT).partition("/")[0]
    return uri if Path(_MOUNT, bucket).is_dir() else bucket_uri(uri)


def bucket_uri(uri: str) -> str:
    """Gives ``gs://BUCKET/OBJECT`` for ``/gcs/BUCKET/OBJECT``; every other URI as it is."""
    return f"gs://{uri.removeprefix(_MOUNT)}" if is_mounted_bucket(uri) else uri


def local_path(uri: str) -> Path:
    """Turns a local URI into a path.

    Args:
        uri: A plain path or ``file://`` URI.

    Returns:
        The path, with ``~`` expanded.
    """
    path = Path(uri.removeprefix("file://"))
    try:
        return path.expanduser()
    except RuntimeError:  # ``~name`` of no user is a name like others
        return path


def locate(uri: str) -> tuple[Any, str]:
    """Finds the filesystem of a URI, and the path there.

    fsspec reads ``a::b`` as one URI opened through another. A file of this machine and an object of
    a store open no other, so that there ``::`` is a part of the name.

    Args:
        uri: Local path or any URI that fsspec opens.

    Returns:
        fsspec's filesystem and the path, without a slash behind it. No path is ever a pattern:
        what expands ``*``, ``?`` and ``[`` must not be called with it.

    Raises:
        ImportError: If a package is missing.
        ValueError: If the scheme is unknown.
    """
    uri = without_mount(uri)
    if is_local(uri):
        return LocalFileSystem(), str(local_path(uri).absolute())
    scheme = uri.partition("://")[0]
    if scheme not in _PACKAGE_OF_SCHEME:
        filesystem, path = url_to_fs(uri)
        return filesystem, path.rstrip("/")
    kind = fsspec.get_filesystem_class(scheme)
    return kind(**kind._get_kwargs_from_urls(uri)), kind._strip_protocol(uri).rstrip("/")


def join(base: str, *parts: str) -> str:
    """Joins path segments to a URI or path with forward slashes."""
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


@contextmanager
def open_input(uri: str, where: str = "") -> Iterator[InputStream]:
    """Opens a file for reading; what fsspec knows as compressed by its name is decompressed.

    Args:
        uri: Local path or any URI that fsspec opens.
        where: The parameter that named the file, for the error message.

    Yields:
        The open file, which is read from its beginning to its end.

    Raises:
        UserError: If no file is named, if it is not there, is a folder, may not be read, or if its
            scheme is unknown or needs a package that is not installed. Reading raises one where the
            file is damaged.
    """
    if not uri.strip():
        raise UserError(Problem("no file is named.", where, "a path or URI of one JSONL file"))
    try:
        filesystem, path = locate(uri)
        compression = get_compression(path, "infer")
        opened = OpenFile(filesystem, path, "rb", compression).open()
    except Exception as error:  # those of fsspec's packages have no base of their own
        raise UserError(_cannot_open(uri, where, error)) from error
    with InputStream(opened, uri, compression) as stream:
        yield stream


@contextmanager
def failures_explained(what: str, where: str, fix: str = "") -> Iterator[None]:
    """Tells what could not be done with a place that the user named.

    Args:
        what: What is done, such as ``read gs://bucket/folder``.
        where: The parameter that named the place.
        fix: What to do.

    Raises:
        UserError: For whatever is raised in the block: the errors of fsspec's packages have no
            base of their own.
    """
    try:
        yield
    except Exception as error:
        raise UserError(
            Problem(f"cannot {one_line(what)} ({_reason(error)}).", where, fix=fix)
        ) from error


def make_folder(path: Path, where: str) -> None:
    """Makes a folder that the user named, and those above it; it may be there already.

    Args:
        path: The folder.
        where: The parameter that named it.

    Raises:
        UserError: If it cannot be made, or not be written to.
    """
    fix = "Name a folder that can be made and written to."
    with failures_explained(f"write to the folder {path}", where, fix):
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def open_output(path: Path, where: str) -> Iterator[BinaryIO]:
    """Opens a file that the user named, before the work whose outcome it takes.

    Args:
        path: The file; its folder is made where it is not there. A device or a pipe will do.
        where: The parameter that named it.

    Yields:
        The open file. Where the block raises, a file is as it was before.

    Raises:
        UserError: If it cannot be written.
    """
    with ExitStack() as stack:
        with failures_explained(f"write {path}", where):
            path = path.resolve()
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            is_file = path.is_file() or not path.exists()
            opened = written_atomically(path) if is_file else path.open("wb")
            stream = stack.enter_context(opened)
        yield stream


def why_not_writable(uri: str) -> str:
    """Says why no folder can be written at a URI, as far as that shows without trying.

    Args:
        uri: Local path or any URI. Stores are not asked.

    Returns:
        The reason in words; empty where none shows.
    """
    try:
        if is_local(uri):
            return _why_not_writable_here(local_path(uri).absolute())
        scheme, _, name = without_mount(uri).partition("://")
        fsspec.get_filesystem_class(scheme)
    except (OSError, ValueError, ImportError) as error:
        return _reason(error)
    return "" if name.strip("/") else "no bucket is named"


def _why_not_writable_here(folder: Path) -> str:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        return f"{one_line(there)} is a file"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"no permission to write to {one_line(there)}"
    if max(len(os.fsencode(part)) for part in folder.parts) > os.pathconf(there, "PC_NAME_MAX"):
        return os.strerror(errno.ENAMETOOLONG)
    return ""


def _reason(error: Exception) -> str:
    """Says why; an error of the operating system names its file again, which may be long."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(f"{type(error).__name__}: {error}", 500)


def file_state(uri: str, where: str = "") -> str:
    """Hashes what the storage says of a file: size, times, generation. Nothing of it is read.

    Args:
        uri: Local path or any URI that fsspec opens.
        where: The parameter that named the file, for the error message.

    Returns:
        A text that changes when the file is written.

    Raises:
        UserError: As :func:`open_input`.
    """
    try:
        filesystem, path = locate(uri)
        if filesystem.isdir(path):
            raise IsADirectoryError(path)
        state: str = filesystem.ukey(path)
    except Exception as error:  # as above
        raise UserError(_cannot_open(uri, where, error)) from error
    return state


def file_kind(uri: str, where: str = "") -> Literal["file", "directory", ""]:
    """Asks what stands at a URI.

    Args:
        uri: Local path or any URI that fsspec opens.
        where: The parameter that named it, for the error message.

    Returns:
        Empty where there is nothing.

    Raises:
        UserError: If it cannot be asked: no permission, no package, no network.
    """
    try:
        filesystem, path = locate(uri)
        return "directory" if filesystem.info(path)["type"] == "directory" else "file"
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except Exception as error:  # as above
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            return ""
        raise UserError(_cannot_open(uri, where, error)) from error


def find_files(pattern: str, where: str = "") -> list[str]:
    """Finds the files that match a pattern.

    Args:
        pattern: Local path or any URI with ``*``, ``?``, ``[...]`` or ``**``, as fsspec has them.
        where: The parameter that named it, for the error message.

    Returns:
        Their paths or URIs, sorted; none where nothing matches.

    Raises:
        UserError: As :func:`file_kind`.
    """
    try:
        filesystem, path = locate(pattern)
        found = filesystem.glob(path, detail=True)
    except Exception as error:  # as above
        raise UserError(_cannot_open(pattern, where, error)) from error
    names = sorted(name for name, info in found.items() if info["type"] == "file")
    return names if is_local(pattern) else [filesystem.unstrip_protocol(name) for name in names]


def check_reachable(uri: str, where: str = "") -> None:
    """Asks once, in seconds, whether the service of a bucket can be reached from here.

    gcsfs tries each call for half a minute: in a task that bridges an outage, while a person waits
    it tells late that there is no network.

    Args:
        uri: Local path or any URI; looked at where it is Cloud Storage's.
        where: The parameter that named it, for the error message.

    Raises:
        UserError: If nobody answers there.
    """
    uri = without_mount(uri)
    if uri.partition("://")[0] not in ("gs", "gcs") or getproxies().get("https"):
        return
    service = urlsplit(os.environ.get(_EMULATOR_VARIABLE) or _CLOUD_STORAGE)
    port = service.port or {"http": 80}.get(service.scheme, 443)
    try:
        socket.create_connection((service.hostname or "", port), _REACH_SECONDS).close()
    except OSError as error:
        what = f"cannot read {one_line(uri)}: {service.hostname} is not reached ({error})."
        raise UserError(Problem(what, where, fix="Is there a network?")) from error


def _cannot_open(uri: str, where: str, error: Exception) -> Problem:
    scheme = uri.partition("://")[0] if "://" in uri else ""
    name = one_line(uri)
    if isinstance(error, ImportError):
        package = _PACKAGE_OF_SCHEME.get(scheme, f"the fsspec package for {scheme}://")
        return Problem(f"cannot read {name}.", where, fix=f"Install it: pip install {package}.")
    if isinstance(error, FileNotFoundError):
        return Problem(f"no file at {name}.", where, fix="Check the path and its spelling.")
    if isinstance(error, IsADirectoryError):
        return Problem(f"{name} is a folder.", where, allowed="one JSONL file, plain or .gz")
    if isinstance(error, PermissionError):
        return Problem(f"no permission to read {name}.", where, fix="Grant this user read access.")
    return Problem(f"cannot read {name} ({_reason(error)}).", where)
