"""Whether a checkpoint's folder is whole and readable: what every reader of a model asks first.

What the model is good for is another question: see `inspection`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError, collect, raise_all
from kfp_llm_tuning.components.models.checkpoint_files import (
    CONFIG,
    GENERATION_CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    Files,
    local_files,
)
from kfp_llm_tuning.components.models.json_files import read_object, read_text
from kfp_llm_tuning.components.models.model_sizes import check_sizes
from kfp_llm_tuning.components.models.weights import read_tensors

_TOKENIZER_OBJECTS = (
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)


def check_whole(folder: Path, place: str = "") -> None:
    """Checks everything that is read before a model is in memory, none of it by running it.

    Args:
        folder: A folder in Hugging Face layout.
        place: Names it in messages; the folder's path where empty.

    Raises:
        UserError: With every problem: files that are missing, damaged, cut off or pointers of Git
            LFS, weights that may run code, code of the checkpoint's own.
    """
    files, place = local_files(folder), place or str(folder)
    problems: list[Problem] = []
    config: dict[str, Any] = {}
    with collect(problems):
        check_readable(folder, place)
        config = read_config(files, place)
    with collect(problems):
        check_sizes(config, read_tensors(files, place), f"{place}/{CONFIG}")
    raise_all(problems)


def check_readable(folder: Path, place: str = "") -> None:
    """Checks configuration and tokenizer as `check_whole` does, and no weights.

    Args:
        folder: As for `check_whole`; its weights may be missing.
        place: As for `check_whole`.

    Raises:
        UserError: With every problem.
    """
    files, place = local_files(folder), place or str(folder)
    problems: list[Problem] = []
    for read in (read_config, read_generation_config, check_tokenizer_files):
        with collect(problems):
            read(files, place)
    raise_all(problems)


def read_config(files: Files, place: str) -> dict[str, Any]:
    """Reads config.json.

    Args:
        files: The checkpoint's files.
        place: Names the checkpoint in messages.

    Returns:
        Its content.

    Raises:
        UserError: If it is missing, damaged, or asks for code of its own.
    """
    if CONFIG not in files:
        raise UserError(
            Problem(
                f"has no {CONFIG}.",
                place,
                "a folder in Hugging Face layout: config.json, *.safetensors, tokenizer files",
            )
        )
    config = read_object(files[CONFIG], f"{place}/{CONFIG}")
    check_sizes(config, {}, f"{place}/{CONFIG}")
    _check_no_own_code(config, f"{place}/{CONFIG}")
    return config


def read_generation_config(files: Files, place: str) -> dict[str, Any]:
    """Reads generation_config.json; empty where there is none. Raises as `read_object`."""
    file = files.get(GENERATION_CONFIG)
    return read_object(file, f"{place}/{GENERATION_CONFIG}") if file else {}


def check_tokenizer_files(files: Files, place: str) -> None:
    """Checks the tokenizer's files before a library reads them.

    Args:
        files: The checkpoint's files.
        place: Names the checkpoint in messages.

    Raises:
        UserError: With every file that is damaged or asks for code of its own.
    """
    problems: list[Problem] = []
    for name in _TOKENIZER_OBJECTS:
        if name in files:
            with collect(problems):
                where = f"{place}/{name}"
                _check_no_own_code(read_object(files[name], where), where)
    if TOKENIZER in files:
        with collect(problems):
            read_text(files[TOKENIZER], f"{place}/{TOKENIZER}")
    raise_all(problems)


def _check_no_own_code(content: dict[str, Any], where: str) -> None:
    if "auto_map" in content:
        raise UserError(
            Problem(
                "asks to run code of the checkpoint's own (auto_map), which is refused.",
                where,
                "an architecture that transformers itself has",
            )
        )
