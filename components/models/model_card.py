"""What a checkpoint's own card says of it."""

from __future__ import annotations

from pathlib import Path

from kfp_llm_tuning.components.common import documents
from kfp_llm_tuning.components.common.errors import UserError

CARD = "README.md"
_FENCE = "---\n"


def licence(folder: Path) -> str:
    """Reads the licence in the metadata block at the head of a model card.

    Args:
        folder: A checkpoint in Hugging Face layout.

    Returns:
        An identifier of the Hugging Face hub, such as ``apache-2.0``; empty where there is no card,
        or none that says it.
    """
    try:
        text = documents.read_text(folder / CARD)
        beginning, _, rest = text.partition(_FENCE)
        metadata = documents.parse_yaml(rest.partition(_FENCE)[0], CARD)
    except UserError:
        return ""
    if beginning or not isinstance(metadata, dict):
        return ""
    found = metadata.get("license")
    return found if isinstance(found, str) else ""
