"""Files by URI: local paths and everything that fsspec opens (gs://, s3://, memory:// ...)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import fsspec
from fsspec.core import url_to_fs

from kfp_llm_tuning.components.common.errors import Problem, UserError

# fsspec's own packages for schemes that a plain install does not open.
_PACKAGE_OF_SCHEME = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "abfs": "adlfs", "az": "adlfs"}


def is_local(uri: str) -> bool:
    """Tells whether the URI is a path of this machine."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """Turns a local URI into a path.

    Args:
        uri: A plain path or ``file://`` URI.

    Returns:
        The path, with ``~`` expanded.
    """
    return Path(uri.removeprefix("file://")).expanduser()


def join(base: str, *parts: str) -> str:
    """Joins path segments to a URI or path with forward slashes."""
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


@contextmanager
def open_input(uri: str, where: str = "") -> Iterator[IO[bytes]]:
    """Opens a file for reading; a name that ends in ``.gz`` is decompressed.

    Args:
        uri: Local path or any URI that fsspec opens.
        where: The parameter that named the file, for the error message.

    Yields:
        The open binary file.

    Raises:
        UserError: If the file is not there, is a folder, may not be read, or if its scheme is
            unknown or needs a package that is not installed.
    """
    try:
        opened = fsspec.open(uri, "rb", compression="infer").open()
    except (OSError, ImportError, ValueError) as error:
        raise UserError(_cannot_open(uri, where, error)) from error
    with opened as stream:
        yield stream


def _cannot_open(uri: str, where: str, error: Exception) -> Problem:
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if isinstance(error, ImportError):
        package = _PACKAGE_OF_SCHEME.get(scheme, f"the fsspec package for {scheme}://")
        return Problem(f"cannot read {uri}.", where, fix=f"Install it: pip install {package}.")
    if isinstance(error, FileNotFoundError):
        return Problem(f"no file at {uri}.", where, fix="Check the path and its spelling.")
    if isinstance(error, IsADirectoryError):
        return Problem(f"{uri} is a folder.", where, allowed="one JSONL file, plain or .gz")
    if isinstance(error, PermissionError):
        return Problem(f"no permission to read {uri}.", where, fix="Grant this user read access.")
    return Problem(f"cannot read {uri}: {error}", where)


def exists(uri: str) -> bool:
    """Tells whether a file or folder is at the URI."""
    filesystem, path = url_to_fs(uri)
    return bool(filesystem.exists(path))


def download_directory(uri: str, target: Path) -> None:
    """Copies a folder, its subfolders included, to this machine.

    Args:
        uri: The folder, at any URI that fsspec opens.
        target: Where its contents go; made where it is not there.
    """
    filesystem, path = url_to_fs(uri)
    target.mkdir(parents=True, exist_ok=True)
    filesystem.get(path.rstrip("/") + "/", f"{target}/", recursive=True)


def upload_directory(source: Path, uri: str) -> None:
    """Copies a folder's contents, its subfolders included, to a URI.

    Args:
        source: The local folder.
        uri: Where its contents go.
    """
    filesystem, path = url_to_fs(uri)
    filesystem.makedirs(path, exist_ok=True)
    filesystem.put(f"{source}/", path.rstrip("/") + "/", recursive=True)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Writes a local file so that a reader sees the old content or the new, never a half.

    Args:
        path: The file; its folder is made where it is not there.
        data: The content; text is encoded as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = data.encode("utf-8") if isinstance(data, str) else data
    # Not tempfile.mkstemp: its mode 0600 would keep other users of a shared volume out.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
