"""What a dataset's URI stands for: one file, several, a folder, a pattern, a set on the hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import has_magic

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.common.input_stream import InputStream
from kfp_llm_tuning.components.common.storage import (
    check_reachable,
    file_kind,
    find_files,
    is_local,
    local_path,
    open_input,
)
from kfp_llm_tuning.components.common.wording import one_line
from kfp_llm_tuning.components.data.reading.findings import name_files
from kfp_llm_tuning.components.data.sources import hub, splits
from kfp_llm_tuning.components.data.sources.parts import SourceFile

_ALLOWED = "a file, a folder, a pattern such as data/*.jsonl, files with commas between, or hf://"


def list_files(uri: str, name: str = "", where: str = "") -> list[SourceFile]:
    """Finds the files of a dataset.

    Args:
        uri: Local path or any URI that fsspec opens, of

            - a file;
            - a folder: of ``datasets.save_to_disk``, or of files, of which those of the split
              ``train`` are taken as the hub does (``README.md`` with ``configs``, names, folders),
              or all where no name tells a split;
            - a pattern with ``*``, ``?`` or ``[...]``;
            - several of these, with commas between.

            ``hf://org/name`` and ``hf://datasets/org/name``, both with ``@revision`` and a file,
            folder or pattern behind it, are datasets of the Hugging Face hub. Behind a folder or a
            dataset of the hub, ``?config=NAME&split=NAME`` chooses among those that it has.
        name: What one file is called in findings; empty for the last part of its URI.
        where: The parameter that named it, for messages.

    Returns:
        At least one file; several are named by the last parts of their URIs.

    Raises:
        UserError: If there is none, or it cannot be asked for.
    """
    uris = _resolve(uri, where)
    if len(uris) == 1:
        return [SourceFile(uris[0], name if name and uris == [uri] else name_files(uris[0])[0])]
    names = name_files(*uris, least=2)
    return [SourceFile(found, called) for found, called in zip(uris, names, strict=True)]


def split_list(uri: str) -> list[str]:
    """Cuts a list of files with commas between, without looking at stores.

    Args:
        uri: As :func:`list_files` takes it.

    Returns:
        What stands between the commas; the whole where it may be one name: where a local file has
        it, or where only the first part has a scheme.
    """
    parts = [part.strip() for part in uri.split(",")]
    is_one = is_local(uri) and local_path(uri).exists()
    return [uri] if is_one or len({"://" in part for part in parts}) > 1 else parts


def check_stores_reached(uri: str, where: str = "") -> None:
    """Asks once, in seconds, whether the stores of a dataset can be reached: for whoever waits.

    Args:
        uri: As :func:`list_files` takes it.
        where: The parameter that named it, for messages.

    Raises:
        UserError: As :func:`~kfp_llm_tuning.components.common.storage.check_reachable`, for all.
    """
    problems: list[Problem] = []
    for part in split_list(uri):
        with collect(problems):
            check_reachable(part, where)
    raise_all(problems)


@contextmanager
def open_file(uri: str, where: str = "") -> Iterator[InputStream]:
    """Opens one of the files, decompressed; one of the hub is brought to its cache first.

    Args:
        uri: As :func:`list_files` gives it.
        where: The parameter that named it, for messages.

    Yields:
        The open file.

    Raises:
        UserError: If it cannot be opened.
    """
    with open_input(hub.bring(uri, where) if hub.is_on_hub(uri) else uri, where) as stream:
        yield stream


def check_source(uri: str, where: str = "") -> None:
    """Finds a dataset's files and opens each, without reading.

    Args:
        uri: As :func:`list_files` takes it.
        where: The parameter that named it, for messages.

    Raises:
        UserError: For every file that cannot be opened.
    """
    problems: list[Problem] = []
    for file in list_files(uri, where=where):
        if not hub.is_on_hub(file.uri):
            with collect(problems), open_file(file.uri, where):
                pass
    raise_all(problems)


def _resolve(uri: str, where: str) -> list[str]:
    if not uri.strip():
        raise UserError(Problem("no file is named.", where, _ALLOWED))
    if hub.is_on_hub(uri) and "," not in uri:
        return hub.list_dataset(uri, where)
    kind = file_kind(uri, where)
    if kind == "file":
        return [uri]
    folder, choice = splits.parse_choice(uri)
    if kind == "directory" or (choice and file_kind(folder, where) == "directory"):
        return splits.list_folder(folder, choice, where)
    if has_magic(uri) and (found := find_files(uri, where)):
        return found
    if "," in uri:
        return _resolve_each([part.strip() for part in uri.split(",")], where)
    raise UserError(_nothing_there(uri, where)) from FileNotFoundError(uri)


def _resolve_each(uris: Sequence[str], where: str) -> list[str]:
    problems: list[Problem] = []
    found: list[str] = []
    for uri in uris:
        with collect(problems):
            found += _resolve(uri, where)
    raise_all(problems)
    return found


def _nothing_there(uri: str, where: str) -> Problem:
    if has_magic(uri):
        return Problem(f"no file matches {one_line(uri)}.", where, fix="Check the pattern.")
    return Problem(f"no file at {one_line(uri)}.", where, fix="Check the path and its spelling.")
