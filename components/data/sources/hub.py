"""Datasets of the Hugging Face hub: which files they have, brought to the cache to be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from glob import has_magic

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import failures_explained, file_kind, find_files
from kfp_llm_tuning.components.common.wording import one_line
from kfp_llm_tuning.components.data.sources import splits

_SCHEME = "hf://"
_NAME = re.compile(
    r"hf://(datasets/)?(?P<repository>[\w.-]+/[\w.-]+)"
    r"(@(?P<revision>refs/[^/?]+/[^/?]+|[^/?]+))?(/(?P<path>[^?]*))?"
)
_ALLOWED = "hf://org/name, with @revision, with a file, folder or pattern behind it"


def is_on_hub(uri: str) -> bool:
    """Tells whether the URI names a dataset of the hub, or a file of one."""
    return uri.startswith(_SCHEME)


@lru_cache(maxsize=16)
def _commit(repository: str, revision: str | None, where: str) -> str:
    """Asks once a process what a revision is: all that it reads is of one state."""
    from huggingface_hub import HfApi

    with _explained(repository, where):
        return str(HfApi().dataset_info(repository, revision=revision, timeout=30).sha)


def list_dataset(uri: str, where: str = "") -> list[str]:
    """Finds the files of a dataset of the hub.

    Args:
        uri: ``hf://org/name`` or ``hf://datasets/org/name``, as :func:`~.files.list_files` has it.
        where: The parameter that named it, for messages.

    Returns:
        URIs of files, with the commit that the revision is now.

    Raises:
        UserError: If the hub has no such dataset, refuses it, or is not reached.
    """
    plain, choice = splits.parse_choice(uri)
    match = _NAME.fullmatch(plain)
    if not match:
        raise UserError(Problem(f"{one_line(uri)} names no dataset.", where, _ALLOWED))
    repository = match["repository"]
    commit = _commit(repository, match["revision"], where)
    base = f"{_SCHEME}datasets/{repository}@{commit}"
    path = (match["path"] or "").strip("/")
    with _explained(repository, where):
        if not path:
            return splits.list_folder(base, choice, where)
        target = f"{base}/{path}"
        kind = file_kind(target, where)
        if kind == "file":
            return [target]
        if kind == "directory":
            return splits.list_folder(target, choice, where)
        found = find_files(target, where) if has_magic(path) else []
    if not found:
        raise UserError(Problem(f"{repository} has no file {one_line(path)}.", where))
    return found


def bring(uri: str, where: str = "") -> str:
    """Brings a file to the hub's cache.

    Args:
        uri: As :func:`list_dataset` gives it.
        where: The parameter that named it, for messages.

    Returns:
        Its path on this machine.

    Raises:
        UserError: If it cannot be downloaded.
    """
    match = _NAME.fullmatch(uri)
    if not match or not match["path"]:
        raise UserError(Problem(f"{one_line(uri)} names no file of a dataset.", where, _ALLOWED))
    with _explained(match["repository"], where):
        from huggingface_hub import hf_hub_download

        return str(
            hf_hub_download(
                match["repository"],
                match["path"],
                repo_type="dataset",
                revision=match["revision"],
            )
        )


@contextmanager
def _explained(repository: str, where: str) -> Iterator[None]:
    """Tells what the hub refuses."""
    try:
        from huggingface_hub import errors
    except ImportError as error:
        what = f"{repository} is on the Hugging Face hub, and huggingface_hub is not installed."
        fix = 'Install it: pip install "kfp-llm-tuning[tuning]".'
        raise UserError(Problem(what, where, fix=fix)) from error
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        fix = "Accept its terms on the hub, and set HF_TOKEN to a token of that account."
        raise UserError(Problem(f"the dataset {repository} is gated.", where, fix=fix)) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(Problem(f"{repository} has no such revision.", where)) from error
    except errors.RepositoryNotFoundError as error:
        what = f"the hub has no dataset {repository}, or it is private."
        fix = "Check the name; for a private dataset set HF_TOKEN."
        raise UserError(Problem(what, where, fix=fix)) from error
    except Exception as error:  # those of its HTTP library have no base that is promised
        fix = "Where this machine does not reach the hub, copy the files here and name them."
        with failures_explained(f"read the dataset {repository} of the hub", where, fix):
            raise error
