"""Files by URI: local paths and everything that fsspec opens (gs://, s3://, memory:// ...)."""

from __future__ import annotations

import logging
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from kfp_llm_tuning.components.common.errors import Problem, UserError

logger = logging.getLogger(__name__)

# Seconds before the second and every later try.
_PAUSES = (1.0, 2.0, 4.0, 8.0)
# What another try does not mend.
_LASTING = (
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    ImportError,
    TypeError,
    ValueError,
)
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
        UserError: If no file is named, if it is not there, is a folder, may not be read, or if its
            scheme is unknown or needs a package that is not installed.
    """
    if not uri.strip():
        raise UserError(Problem("no file is named.", where, "a path or URI of one JSONL file"))
    try:
        opened = fsspec.open(uri, "rb", compression="infer").open()
    except Exception as error:  # those of fsspec's packages have no base of their own
        raise UserError(_cannot_open(uri, where, error)) from error
    with opened as stream:
        yield stream


@contextmanager
def failures_told(what: str, where: str, fix: str = "") -> Iterator[None]:
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
            Problem(f"cannot {what} ({type(error).__name__}: {error}).", where, fix=fix)
        ) from error


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
        filesystem, path = url_to_fs(uri)
        if filesystem.isdir(path):
            raise IsADirectoryError(path)
        state: str = filesystem.ukey(path)
    except Exception as error:  # as above
        raise UserError(_cannot_open(uri, where, error)) from error
    return state


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
    filesystem, path = _open(uri)
    return bool(_retried(filesystem.exists, path))


def download_directory(uri: str, target: Path) -> None:
    """Copies a folder, its subfolders included, to this machine.

    Args:
        uri: The folder, at any URI that fsspec opens.
        target: Where its contents go; made where it is not there.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    filesystem, root = _open(uri)
    target.mkdir(parents=True, exist_ok=True)
    _retried(filesystem.get, f"{root}/", f"{target}/", recursive=True)


def download_file(uri: str, target: Path) -> None:
    """Copies a file to this machine.

    Args:
        uri: The file, at any URI that fsspec opens.
        target: Where it goes, its name included.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    filesystem, path = _open(uri)
    _retried(filesystem.get_file, path, str(target))


def mirror_directory(source: Path, uri: str, last: Sequence[str] = ()) -> None:
    """Makes a folder at a URI equal to a local one, so that no half of it is taken for the whole.

    Args:
        source: The local folder.
        uri: The folder to write; files that the local one does not have are deleted.
        last: Files without which a reader does not take the folder for whole: deleted before
            anything else is written, and written after everything else, in this order.
    """
    filesystem, root = _open(uri)
    local = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    remote = _retried(_files, filesystem, root)
    _delete(filesystem, root, [name for name in last if name in remote])
    _put(filesystem, source, root, sorted(local - {*last}))
    _delete(filesystem, root, sorted(remote - local - {*last}))
    for name in last:
        _put(filesystem, source, root, [name] if name in local else [])


def upload_file(source: Path, uri: str) -> None:
    """Copies a file to a URI.

    Args:
        source: The local file.
        uri: Where it goes, its name included.
    """
    folder, _, name = uri.rpartition("/")
    filesystem, root = _open(folder)
    _put_all(filesystem, {f"{root}/{name}": source})


def delete_directory(uri: str, first: str) -> None:
    """Deletes a folder with all that it holds.

    Args:
        uri: The folder; it need not be there.
        first: The file that says that the folder is whole: deleted before the others.
    """
    filesystem, root = _open(uri)
    _delete(filesystem, root, [first])
    if _retried(filesystem.exists, root):
        _retried(filesystem.rm, root, recursive=True)


def matching(uri: str, pattern: str) -> list[str]:
    """Lists the files of a folder whose names match.

    Args:
        uri: The folder; it need not be there.
        pattern: A glob pattern, for example ``step-*/complete.json``.

    Returns:
        Names relative to the folder, in no order.
    """
    filesystem, root = _open(uri)
    found = _retried(filesystem.glob, f"{root}/{pattern}")
    return [path.removeprefix(f"{root}/") for path in found]


def _open(uri: str) -> tuple[Any, str]:
    """Gives the filesystem, whose listings are read anew, and the path without a slash behind."""
    filesystem, path = url_to_fs(uri)
    filesystem.invalidate_cache()
    return filesystem, path.rstrip("/")


def _files(filesystem: Any, root: str) -> set[str]:
    return {path.removeprefix(f"{root}/") for path in filesystem.find(root)}


def _put(filesystem: Any, source: Path, root: str, names: Sequence[str]) -> None:
    _put_all(filesystem, {f"{root}/{name}": source / name for name in names})


def _put_all(filesystem: Any, sources: Mapping[str, Path]) -> None:
    """Uploads files, side by side where the filesystem can."""
    if isinstance(filesystem, LocalFileSystem):  # The only one here whose folders must exist.
        for path in sources:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    _retried(filesystem.put, [str(source) for source in sources.values()], list(sources))


def _delete(filesystem: Any, root: str, names: Sequence[str]) -> None:
    for name in names:
        with suppress(FileNotFoundError):
            _retried(filesystem.rm_file, f"{root}/{name}")


def _retried(action: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Calls again, after growing pauses, what failed for a reason that may pass."""
    for pause in _PAUSES:
        try:
            return action(*arguments, **keywords)
        except _LASTING:
            raise
        except Exception as error:
            logger.warning("%s: %s. Trying again in %.0f s.", type(error).__name__, error, pause)
            time.sleep(pause * random.uniform(0.5, 1.0))
    return action(*arguments, **keywords)


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
