"""A folder's list of its own files, by which a reader sees that none is cut off or changed.

The writer hashes every file once. A reader compares sizes always, which costs nothing and finds
what was cut off; it hashes too where it reads the files anyway (evaluation, a server that loads or
downloads, a copy into the registry) or where a mistake would stay (a cached output that is taken
for a finished one). Only Vertex AI's upload does not: it names a folder in Cloud Storage that it
never reads, and the server that downloads it hashes. SHA-256 reads more than 1 GB/s on one core.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from kfp_llm_tuning.components.common.errors import Problem, raise_all
from kfp_llm_tuning.components.common.folders import write_atomically

MANIFEST_FILE = "manifest.json"
COPY_AGAIN = (
    "Copy the model again, or tune it again; where the change is your own, delete "
    f"{MANIFEST_FILE} beside it."
)


def write_manifest(folder: Path, file: str = MANIFEST_FILE) -> None:
    """Writes the list of every file that a folder holds, subfolders included.

    Args:
        folder: The folder; nothing may be written to it afterwards.
        file: Name of the list.
    """
    files = list_files(folder)
    files.pop(file, None)
    write_atomically(folder / file, json.dumps({"files": files}, indent=1) + "\n")


def list_output(path: Path) -> dict[str, tuple[int, str]]:
    """Lists a task's output as :func:`list_files`; what its writer hashed is not hashed again.

    Args:
        path: The folder or the file, just written.

    Returns:
        Relative name of each file -> its bytes and SHA-256 in hexadecimal digits.
    """
    if not (path / MANIFEST_FILE).is_file():
        return list_files(path)
    list_of_list = list_files(path / MANIFEST_FILE)
    return {**read_manifest(path), MANIFEST_FILE: list_of_list[""]}


def list_files(path: Path) -> dict[str, tuple[int, str]]:
    """Lists what a folder holds, subfolders included, or one file, whose name is then empty.

    Args:
        path: The folder or the file.

    Returns:
        Relative name of each file -> its bytes and SHA-256 in hexadecimal digits.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return {
        "" if file == path else file.relative_to(path).as_posix(): (
            file.stat().st_size,
            _hash(file),
        )
        for file in files
        if file.is_file()
    }


def damages(
    folder: Path,
    file: str = MANIFEST_FILE,
    contents: bool = True,
    among: Callable[[str], bool] = lambda name: True,
) -> list[str]:
    """Says what of a folder is not as its writer left it; further files are no damage.

    Args:
        folder: The folder.
        file: Name of its list.
        contents: Whether to read and hash the files, beside a look at their sizes.
        among: Tells of a file's relative name whether it is looked at.

    Returns:
        A sentence without a full stop for the list or for each of its files; empty where the
        folder is whole.
    """
    try:
        listed = read_manifest(folder, file)
    except FileNotFoundError:
        return [f"{file} is missing"]
    except (OSError, ValueError) as error:
        return [f"{file} cannot be read ({error})"]
    looked_at = {name: entry for name, entry in listed.items() if among(name)}
    return differences(folder, looked_at, contents)


def differences(
    path: Path, listed: Mapping[str, tuple[int, str]], contents: bool = True
) -> list[str]:
    """Says what is not as :func:`list_files` saw it; further files are no difference.

    Args:
        path: The folder or the file.
        listed: What it held.
        contents: Whether to read and hash the files, beside a look at their sizes.

    Returns:
        A sentence without a full stop for each file that differs.
    """
    found = (
        _damage(path / name, name or path.name, size, digest if contents else "")
        for name, (size, digest) in listed.items()
    )
    return [damage for damage in found if damage]


def verify(
    folder: Path,
    where: str = "saved_model",
    fix: str = COPY_AGAIN,
    contents: bool = True,
    among: Callable[[str], bool] = lambda name: True,
) -> None:
    """Refuses a folder that is not as its writer left it; one without a list is let through.

    Args:
        folder: The folder of a model, of this project's or of another tool's.
        where: The parameter that named it.
        fix: What to do.
        contents: As :func:`damages`.
        among: As :func:`damages`.

    Raises:
        UserError: If the folder has a list, and files that differ from it; all of them are told.
    """
    if not (folder / MANIFEST_FILE).exists():
        return
    raise_all(
        [
            Problem(f"{folder} is damaged: {damage}.", where, fix=fix)
            for damage in damages(folder, contents=contents, among=among)
        ]
    )


def is_loaded(name: str) -> bool:
    """Tells of a file of a model whether engines and trainers load it.

    A copy from a hub or a bucket has neither the adapter nor the card, and is whole without them.

    Args:
        name: The file's relative name.
    """
    return "/" not in name and not name.endswith(".md")


def read_manifest(folder: Path, file: str = MANIFEST_FILE) -> Mapping[str, tuple[int, str]]:
    """Reads a folder's list.

    Args:
        folder: The folder.
        file: Name of its list.

    Returns:
        Relative name of each file -> its bytes and SHA-256 in hexadecimal digits.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no such list.
    """
    try:
        listed = json.loads((folder / file).read_text(encoding="utf-8"))["files"]
        return {name: (int(size), str(digest)) for name, (size, digest) in listed.items()}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _damage(path: Path, name: str, size: int, digest: str) -> str:
    try:
        found = path.stat().st_size
        if found != size:
            return f"{name} has {found:,} bytes, not {size:,}"
        if digest and _hash(path) != digest:
            return f"{name} is corrupt: it has the right size and other contents"
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read ({error})"
    return ""


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
