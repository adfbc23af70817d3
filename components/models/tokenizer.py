"""Loads a checkpoint's tokenizer: other people's files, looked at before a library reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.checkpoint_files import (
    CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    local_files,
)
from kfp_llm_tuning.components.models.integrity import check_tokenizer_files, read_config
from kfp_llm_tuning.components.models.json_files import read_local_object


def load_tokenizer(folder: Path, place: str = "") -> Any:
    """Loads a tokenizer; code that came with it is never run.

    Args:
        folder: A folder in Hugging Face layout.
        place: Names it in messages; the folder's path where empty.

    Returns:
        The transformers tokenizer.

    Raises:
        UserError: If the folder has no tokenizer that this version of transformers reads.
    """
    files, place = local_files(folder), place or str(folder)
    check_tokenizer_files(files, place)
    if CONFIG in files:
        # The auto class reads it too.
        read_config(files, place)
    try:
        return _tokenizer_class(folder).from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
    except BaseException as error:
        # A panic of the tokenizers library, which is written in Rust, is no Exception.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise _unreadable(place, error) from error
        raise


def _tokenizer_class(folder: Path) -> Any:
    """Chooses who reads a tokenizer: AutoTokenizer, or the class that a folder leaves no doubt of.

    AutoTokenizer looks at the model too, and imports torch for that: of all that validation and
    encoding do with a small dataset the longest part, and the largest.
    """
    path = folder / TOKENIZER_CONFIG
    facts = read_local_object(path) if path.is_file() else {}
    # The name says: take tokenizer.json as it stands.
    if facts.get("tokenizer_class") == "TokenizersBackend":
        from transformers import TokenizersBackend

        return TokenizersBackend
    from transformers import AutoTokenizer

    return AutoTokenizer


def _unreadable(place: str, error: BaseException) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(
        Problem(
            f"has no readable tokenizer: {reason}",
            place,
            f"{TOKENIZER} and {TOKENIZER_CONFIG} that transformers reads",
        )
    )
