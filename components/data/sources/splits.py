"""Folders of a dataset: which files are its training split, or the split that was asked for.

The rules are those of the Hugging Face hub, applied by the library ``datasets``: a ``README.md``
with ``configs``, else names of files and folders (``train.jsonl``, ``data/train-00000-of-2``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import has_magic
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.storage import (
    failures_explained,
    file_kind,
    is_local,
    join,
    local_path,
    open_input,
)
from kfp_llm_tuning.components.common.wording import first_few, one_line, short
from kfp_llm_tuning.components.data.sources.containers import DATA_SUFFIXES, suffix_of

TRAINING_SPLIT = "train"
_CHOICE = re.compile(r"(?P<folder>[^?]+)\?(?P<choice>(config|split)=[^&]*(&(config|split)=[^&]*)?)")
# What datasets.save_to_disk writes.
_STATE, _SPLITS = "state.json", "dataset_dict.json"
_CARD = "README.md"
_LARGEST_DOCUMENT = 16 * 2**20


@dataclass(frozen=True)
class Choice:
    """What is taken of a dataset.

    Attributes:
        config: One of the sets that it has; empty for the default, or the only one.
        split: Such as ``train`` or ``test``; empty for the training split.
    """

    config: str = ""
    split: str = ""

    def __bool__(self) -> bool:
        """Tells whether anything is chosen."""
        return bool(self.config or self.split)


def parse_choice(uri: str) -> tuple[str, Choice]:
    """Takes ``?config=NAME&split=NAME`` off a URI.

    Args:
        uri: Any URI.

    Returns:
        The URI before it, and what it chooses; the whole URI where nothing is chosen.
    """
    match = _CHOICE.fullmatch(uri)
    if not match:
        return uri, Choice()
    pairs = (pair.split("=", 1) for pair in match["choice"].split("&"))
    return match["folder"], Choice(**{name: value for name, value in pairs})


def list_folder(folder: str, choice: Choice, where: str = "") -> list[str]:
    """Finds the files of one split.

    Args:
        folder: A folder of this machine or of a store, or a dataset of the hub with its commit.
        choice: Which config and split.
        where: The parameter that named it, for messages.

    Returns:
        URIs in the order in which they are read.

    Raises:
        UserError: If the folder has no such split, or none that is rows.
    """
    if is_local(folder):
        folder = str(local_path(folder).absolute())
    if file_kind(join(folder, _STATE), where):
        return _saved_files(folder, where)
    if file_kind(join(folder, _SPLITS), where):
        found = _document(join(folder, _SPLITS), where).get("splits", ())
        split = _chosen_split({str(name): "" for name in found}, folder, choice, where)
        return _saved_files(join(folder, split), where)
    return _files_of_split(folder, choice, where)


def _saved_files(folder: str, where: str) -> list[str]:
    """Names the Arrow files of a set that was saved to disk."""
    named = _document(join(folder, _STATE), where).get("_data_files", ())
    files = [join(folder, str(entry["filename"])) for entry in named]
    if not files:
        raise UserError(Problem(f"{one_line(folder)} is a set without rows.", where))
    return files


def _document(uri: str, where: str) -> dict[str, Any]:
    with open_input(uri, where) as stream:
        content = stream.read(_LARGEST_DOCUMENT)
    with failures_explained(f"read {uri}", where, "Save the dataset again."):
        document: dict[str, Any] = dict(json.loads(content))
    return document


def _files_of_split(folder: str, choice: Choice, where: str) -> list[str]:
    with _datasets_explained(folder, where):
        from datasets.data_files import resolve_pattern, sanitize_patterns

        patterns: Mapping[str, Sequence[str]] = sanitize_patterns(_patterns(folder, choice, where))
        split = _chosen_split(patterns, folder, choice, where)
        found: list[str] = []
        for pattern in map(str, patterns[split]):
            # Of those for names and folders, some match nothing.
            with suppress(*([FileNotFoundError] if has_magic(pattern) else [])):
                found += resolve_pattern(pattern, folder)
    files = [file for file in dict.fromkeys(found) if suffix_of(file) in DATA_SUFFIXES]
    if not files:
        what = f"{one_line(folder)} has no file of rows for the split {short(split)}."
        raise UserError(Problem(what, where, f"files that end in {', '.join(DATA_SUFFIXES)}"))
    return files


def _patterns(folder: str, choice: Choice, where: str) -> Any:
    """Gives patterns by splits: those of README.md, or those that files' names fit."""
    from datasets.data_files import get_data_patterns
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    card = join(folder, _CARD)
    configs: Mapping[str, Any] = {}
    if file_kind(card, where) == "file":
        with open_input(card, where) as stream:
            text = stream.read(_LARGEST_DOCUMENT).decode(errors="replace")
        configs = MetadataConfigs.from_dataset_card_data(DatasetCard(text).data)
    name = _chosen_config(configs, folder, choice, where)
    files = configs[name].get("data_files") if name else None
    return files or get_data_patterns(folder)


def _chosen_config(configs: Any, folder: str, choice: Choice, where: str) -> str:
    if choice.config in configs or not (configs or choice.config):
        return choice.config
    default = configs.get_default_config_name() if configs else None
    if default and not choice.config:
        return str(default)
    what = f"{one_line(folder)} has several configs."
    if choice.config:
        what = f"{one_line(folder)} has no config {short(choice.config)}."
    raise UserError(
        Problem(
            what,
            where,
            first_few(list(configs), 20) or "none",
            "Name one behind it: ?config=NAME.",
        )
    )


def _chosen_split(splits: Mapping[str, Any], folder: str, choice: Choice, where: str) -> str:
    names = [str(name) for name in splits]
    wanted = choice.split or TRAINING_SPLIT
    if wanted in names:
        return wanted
    if not choice.split and len(names) == 1:
        return names[0]
    what = f"{one_line(folder)} has no split {short(wanted)}."
    raise UserError(Problem(what, where, first_few(names, 20), "Name one behind it: ?split=NAME."))


@contextmanager
def _datasets_explained(folder: str, where: str) -> Iterator[None]:
    """Tells what the library ``datasets`` cannot do with a folder."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        what = f"{one_line(folder)} is a folder, which the package datasets reads."
        fix = 'Install it: pip install datasets, or name the files: "FOLDER/*.jsonl".'
        raise UserError(Problem(what, where, fix=fix)) from error
    except FileNotFoundError as error:
        what = f"{one_line(folder)} has no file of rows."
        allowed = f"files that end in {', '.join(DATA_SUFFIXES)}"
        raise UserError(Problem(what, where, allowed)) from error
    except Exception as error:  # the hub's and the storages' have no base of their own
        with failures_explained(f"list the files of {folder}", where):
            raise error
