"""Brings a base model to this machine, in Hugging Face layout, weights as safetensors only."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.folders import finished_atomically
from kfp_llm_tuning.components.common.manifest import is_loaded, verify
from kfp_llm_tuning.components.common.storage import is_local, locate
from kfp_llm_tuning.components.models.checkpoint_files import CheckpointFile, Files, local_files
from kfp_llm_tuning.components.models.checkpoint_problems import (
    CheckpointUnreachable,
    naming_parameter,
)
from kfp_llm_tuning.components.models.integrity import check_readable, check_whole
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.models.weights import check_weight_names, has_all_weights

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "KFP_LLM_TUNING_CACHE"
_BYTE_TINY = "builtin://byte-tiny"
_WHERE = "large_model_reference"
_PATIENCE_SECONDS = 10.0
_ALLOWED = "a folder in Hugging Face layout: config.json, *.safetensors, tokenizer files"
_TOKENIZER_FILES = (
    "*.json",
    "*.jinja",
    "tokenizer.model",
    "spiece.model",
    "vocab.txt",
    "merges.txt",
    "*.tiktoken",
)
_MODEL_FILES = ("*.safetensors", *_TOKENIZER_FILES)
# What no later try would find otherwise.
_LASTING = (FileNotFoundError, NotADirectoryError, ImportError, ValueError)
# Looked for only to say why they are not read.
_OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.gguf")
# Subfolders hold other formats of the same weights; consolidated*.safetensors are such a copy too.
_IGNORED_FILES = ("*/*", "consolidated*.safetensors")


def cache_directory() -> Path:
    """Names the folder of models built or downloaded: $KFP_LLM_TUNING_CACHE or ~/.cache."""
    configured = os.environ.get(CACHE_VARIABLE)
    return Path(configured).expanduser() if configured else Path.home() / ".cache/kfp-llm-tuning"


def materialise(reference: ModelReference) -> Path:
    """Brings the whole model to this machine.

    Args:
        reference: What to bring; ``hf://`` models go to the Hugging Face cache, others to
            :func:`cache_directory`, local folders stay where they are.

    Returns:
        A folder with config.json, ``*.safetensors`` and the tokenizer's files; only read it.

    Raises:
        UserError: If the model is not found, may not be read, is not whole (see `check_whole`), has
            no safetensors, or runs code of its own.
    """
    folder = _bring(reference, _MODEL_FILES)
    with naming_parameter(_WHERE):
        check_whole(folder, reference.name)
    # Sizes only: whoever loads the weights hashes them.
    verify(folder, _WHERE, contents=False, among=is_loaded)
    return folder


def tokenizer_folder(reference: ModelReference) -> Path:
    """Brings the configuration and tokenizer, and no weights where they can be left out.

    Args:
        reference: The model.

    Returns:
        A folder that `load_tokenizer` reads.

    Raises:
        UserError: As :func:`materialise`, except that weights are not looked at.
    """
    folder = small_files(reference)
    with naming_parameter(_WHERE):
        check_readable(folder, reference.name)
    return folder


def small_files(reference: ModelReference) -> Path:
    """Brings what :func:`tokenizer_folder` brings, and does not look at it.

    Raises:
        CheckpointUnreachable: If hub or storage do not answer.
        UserError: If the model is not found, or may not be read.
    """
    return _bring(reference, _TOKENIZER_FILES)


def listed_files(reference: ModelReference, folder: Path) -> Files | None:
    """Lists a model's files, weights included, without downloading those.

    Args:
        reference: The model.
        folder: What :func:`tokenizer_folder` returned.

    Returns:
        The files; None where the hub has weights that are not on this machine yet: it keeps only
        whole files, of which it tells nothing but the names.

    Raises:
        UserError: If the hub has weights only in forms that are not read.
    """
    if reference.checkpoint.startswith("hf://"):
        files = local_files(folder)
        if has_all_weights(files):
            return files
        check_weight_names(_hub_names(reference), reference.name)
        return None
    if reference.checkpoint == _BYTE_TINY or is_local(reference.checkpoint):
        return local_files(folder)
    filesystem, entries = _listed(reference)
    return {
        _file_name(entry): CheckpointFile(
            _file_name(entry), entry["size"], partial(filesystem.cat_file, entry["name"])
        )
        for entry in entries
        if _is_wanted(_file_name(entry), (*_MODEL_FILES, *_OTHER_WEIGHTS))
    }


def has_weights_here(reference: ModelReference) -> bool:
    """Tells whether nothing large of a model is to be downloaded from the hub.

    Args:
        reference: The model.

    Returns:
        True also of a model that lies elsewhere than on the hub.
    """
    if not reference.checkpoint.startswith("hf://"):
        return True
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository = reference.checkpoint.removeprefix("hf://")
    try:
        folder = snapshot_download(repository, revision=reference.revision, local_files_only=True)
        return has_all_weights(local_files(Path(folder)))
    except (LocalEntryNotFoundError, OSError, UserError):
        return False


def resolved_revision(reference: ModelReference, folder: Path) -> str:
    """Tells the commit of a model that was brought from the hub.

    Args:
        reference: The model.
        folder: What :func:`materialise` returned.

    Returns:
        The commit, which is the name of the folder in the hub's cache; for other checkpoints
        the reference's revision.
    """
    return folder.name if reference.checkpoint.startswith("hf://") else reference.revision


def _bring(reference: ModelReference, files: tuple[str, ...]) -> Path:
    if reference.substitution_notice:
        logger.warning("%s", reference.substitution_notice)
    if reference.checkpoint == _BYTE_TINY:
        return _byte_tiny()
    if reference.checkpoint.startswith("hf://"):
        return _from_hub(reference, files)
    if is_local(reference.checkpoint):
        return _local(reference)
    return _from_storage(reference, files)


def _byte_tiny() -> Path:
    from kfp_llm_tuning.components.models import byte_tiny

    return _make_once(f"byte-tiny-{byte_tiny.VERSION}", byte_tiny.build)


def _make_once(name: str, make: Callable[[Path], None]) -> Path:
    """Makes a folder of the cache where it is not there; safe beside other processes and kills."""
    from filelock import FileLock

    target = cache_directory() / name
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if target.is_dir():
            return target
        with finished_atomically(target) as unfinished:
            make(unfinished)
    return target


def _from_hub(reference: ModelReference, files: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository = reference.checkpoint.removeprefix("hf://")
    silence = _hub_silence(repository, reference.revision)
    try:
        folder = snapshot_download(
            repository,
            revision=reference.revision,
            allow_patterns=list(files),
            ignore_patterns=list(_IGNORED_FILES),
            local_files_only=silence is not None,
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise _hub_error(reference, silence or error) from error
    return Path(folder)


def _hub_silence(repository: str, revision: str) -> Exception | None:
    """Asks the hub one thing, once: the list of a pinned revision's files would be tried six times.

    Returns:
        Why it does not answer; None where it does, be it with a refusal.
    """
    from huggingface_hub import model_info
    from huggingface_hub.errors import HfHubHTTPError

    try:
        model_info(repository, revision=revision, timeout=_PATIENCE_SECONDS)
    except HfHubHTTPError as error:
        return error if error.response.status_code >= 500 else None
    except Exception as error:  # those of its HTTP library have no base that is promised
        return error
    return None


def _hub_names(reference: ModelReference) -> list[str]:
    from huggingface_hub import list_repo_files
    from huggingface_hub.errors import HfHubHTTPError

    repository = reference.checkpoint.removeprefix("hf://")
    if silence := _hub_silence(repository, reference.revision):
        raise _hub_error(reference, silence)
    try:
        return list(list_repo_files(repository, revision=reference.revision))
    except (HfHubHTTPError, OSError) as error:
        raise _hub_error(reference, error) from error


def _hub_error(reference: ModelReference, error: Exception) -> UserError:
    refusal = _hub_refusal(reference, error)
    if refusal:
        return UserError(refusal)
    reason = " ".join(str(error).split())
    return CheckpointUnreachable(
        Problem(
            f"cannot download {reference.checkpoint.removeprefix('hf://')}: {reason}",
            _WHERE,
            fix="Where this machine may not reach the hub, copy the model's folder here, to gs:// "
            "or to s3://, and give that as the reference.",
        )
    )


def _hub_refusal(reference: ModelReference, error: Exception) -> Problem | None:
    from huggingface_hub import errors

    repository = reference.checkpoint.removeprefix("hf://")
    if isinstance(error, errors.GatedRepoError):
        return Problem(
            f"{repository} is gated.",
            _WHERE,
            fix="Accept its licence on the hub, and set HF_TOKEN to a token of that account.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return Problem(f"{repository} has no revision {reference.revision!r}.", _WHERE)
    if isinstance(error, errors.RepositoryNotFoundError):
        return Problem(
            f"the hub has no {repository}, or it is private.",
            _WHERE,
            fix="Check the name; for a private repository set HF_TOKEN.",
        )
    return None


def _local(reference: ModelReference) -> Path:
    folder = Path(reference.checkpoint).expanduser()
    if not folder.is_dir():
        raise UserError(Problem(f"no folder at {folder}.", _WHERE, _ALLOWED))
    return folder.resolve()


def _from_storage(reference: ModelReference, files: tuple[str, ...]) -> Path:
    filesystem, entries = _listed(reference)
    wanted = [entry for entry in entries if _is_wanted(_file_name(entry), files)]
    if not wanted:
        raise UserError(Problem(f"no model is in {reference.checkpoint}.", _WHERE, _ALLOWED))

    def download(folder: Path) -> None:
        for entry in wanted:
            logger.info("Downloading %s (%d bytes)", entry["name"], entry["size"])
            filesystem.get_file(entry["name"], str(folder / _file_name(entry)))
        verify(
            folder,
            _WHERE,
            f"{reference.checkpoint} is not whole, or was changed: copy it there again.",
            among=lambda name: _is_wanted(name, files),
        )

    return _make_once(_storage_key(reference.checkpoint, wanted), download)


def _listed(reference: ModelReference) -> tuple[Any, list[dict[str, Any]]]:
    """Lists the files of a folder in storage, with the filesystem that reads them."""
    try:
        filesystem, root = locate(reference.checkpoint)
        entries = filesystem.ls(root, detail=True)
    except Exception as error:  # those of fsspec's packages have no base of their own
        what = f"cannot read the folder {reference.checkpoint}: {error}"
        kind = UserError if isinstance(error, _LASTING) else CheckpointUnreachable
        raise kind(Problem(what, _WHERE)) from error
    return filesystem, [entry for entry in entries if entry["type"] == "file"]


def _storage_key(uri: str, entries: list[dict[str, Any]]) -> str:
    """Names the cached copy after what the folder holds now, so that a changed one is read anew."""
    facts = [
        [entry["name"], entry["size"]]
        + [str(entry.get(key)) for key in ("etag", "ETag", "md5Hash", "mtime", "created")]
        for entry in sorted(entries, key=lambda entry: str(entry["name"]))
    ]
    digest = hashlib.sha256(json.dumps([uri, facts]).encode()).hexdigest()[:16]
    return f"{uri.rstrip('/').rpartition('/')[2]}-{digest}"


def _file_name(entry: dict[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def _is_wanted(name: str, files: tuple[str, ...]) -> bool:
    ignored = any(fnmatch(name, pattern) for pattern in _IGNORED_FILES)
    return not ignored and any(fnmatch(name, pattern) for pattern in files)
