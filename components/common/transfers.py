"""Copies of files and folders between this machine and any URI: whole, retried, never patterns."""

from __future__ import annotations

import logging
import random
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from kfp_llm_tuning.components.common.storage import locate

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
        ValueError: If a name in it leads out of the folder.
    """
    filesystem, root = _open(uri)
    names = sorted(_retried(_files, filesystem, root))
    if not names and not _retried(filesystem.isdir, root):
        raise FileNotFoundError(f"no folder at {uri}")
    target.mkdir(parents=True, exist_ok=True)
    if outside := [name for name in names if ".." in name.split("/")]:
        raise ValueError(f"{uri} holds {outside[0]!r}, which leads out of the folder")
    targets = [target / name for name in names]
    for folder in {path.parent for path in targets}:
        folder.mkdir(parents=True, exist_ok=True)
    # With lists on both sides nothing is expanded.
    _retried(filesystem.get, [f"{root}/{name}" for name in names], list(map(str, targets)))


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
    if isinstance(filesystem, LocalFileSystem):
        if Path(root).exists():
            shutil.rmtree(root)
    else:  # Its rm() would take the path for a pattern.
        _delete(filesystem, root, sorted(_retried(_files, filesystem, root)))


def matching(uri: str, pattern: str) -> list[str]:
    """Lists the files of a folder whose names match.

    Args:
        uri: The folder; it need not be there.
        pattern: A glob pattern, for example ``step-*/complete.json``.

    Returns:
        Names relative to the folder, in no order.
    """
    filesystem, root = _open(uri)
    matches = re.compile(glob_translate(pattern)).fullmatch
    return [name for name in _retried(_files, filesystem, root) if matches(name)]


def _open(uri: str) -> tuple[Any, str]:
    """Gives the filesystem, whose listings are read anew, and the path."""
    filesystem, path = locate(uri)
    filesystem.invalidate_cache()
    return filesystem, path


def _files(filesystem: Any, root: str) -> set[str]:
    """Lists a folder's files, by their names below it; what stands for a folder is left out."""
    names = {path.removeprefix(f"{root}/") for path in filesystem.find(root)}
    return {name for name in names if name and not name.endswith("/") and name != root}


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
