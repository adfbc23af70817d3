"""Files and folders that are there as a whole or not at all, whatever kills their writer."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_WRITING = "writing"
# A leftover on a filesystem without locks is taken for a dead writer's after this time.
_ABANDONED_SECONDS = 24 * 3600.0


def write_atomically(path: Path, data: bytes | str) -> None:
    """Writes a local file so that a reader sees the old content or the new, never a half.

    Args:
        path: The file; its folder is made where it is not there.
        data: The content; text is encoded as UTF-8.
    """
    with written_atomically(path) as stream:
        stream.write(data.encode("utf-8") if isinstance(data, str) else data)


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Opens a local file for writing; a reader sees the old content until the block has succeeded.

    Args:
        path: The file; its folder is made where it is not there.

    Yields:
        The open file. Its content is dropped where the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkstemp: its mode 0600 would keep other users of a shared volume out.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def finished_atomically(target: Path) -> Iterator[Path]:
    """Gives a folder to write to that takes the target's place only when the block succeeds.

    What is written is on the disk before it has the target's name, so that not even a power cut
    leaves a half. What killed writers of the same target left is deleted.

    Args:
        target: The folder to be; what it holds is replaced.

    Yields:
        An empty folder beside it.
    """
    prefix = f".{target.name}.{_WRITING}-"
    with scratch_folder(target.parent, prefix) as scratch:
        writing = scratch / target.name
        writing.mkdir()
        yield writing
        sync_tree(writing)
        if target.exists():
            target.rename(scratch / "replaced")
        writing.rename(target)
        sync(target.parent)


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Makes a folder that is deleted at the end of the block, or by the next one if killed.

    Args:
        parent: Where it is made; made where it is not there.
        prefix: How its name begins; folders of ``parent`` that begin so are taken for leftovers
            where no living process holds them.

    Yields:
        The empty folder.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(f"{glob_escaped(prefix)}*"):
        _remove_if_abandoned(leftover)
    folder, descriptor = _held_folder(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_leftovers(root: Path) -> None:
    """Deletes what killed writers of :func:`finished_atomically` left anywhere below a folder.

    Args:
        root: The folder; it need not be there.
    """
    for leftover in sorted(root.rglob(f".*.{_WRITING}-*")):
        _remove_if_abandoned(leftover)


def sync(path: Path) -> None:
    """Has the system write a file, or the names that a folder holds, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Has the system write a folder with all that it holds to the disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def glob_escaped(text: str) -> str:
    """Writes a text so that ``Path.glob`` takes every letter of it for itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def _held_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """Makes a folder and locks it: the kernel gives the lock back however the process ends."""
    while True:
        folder = parent / f"{prefix}{secrets.token_hex(6)}"
        folder.mkdir()
        descriptor = os.open(folder, os.O_RDONLY)
        with suppress(OSError):  # Of a filesystem without locks for folders, such as NFS.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have taken it for a leftover before it was locked.
        if folder.exists():
            return folder, descriptor
        os.close(descriptor)


def _remove_if_abandoned(folder: Path) -> None:
    # Another process may remove it at the same time.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _is_abandoned(folder, descriptor):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def _is_abandoned(folder: Path, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS
    return True
