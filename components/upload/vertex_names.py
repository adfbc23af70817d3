"""Names and labels as Google Cloud allows them, and ids that a repeated task makes again alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kfp_llm_tuning.components.common.errors import Problem, UserError

MAX_LABELS = 64
_LABEL_LENGTH = 63
_ID_NAME_LENGTH = 40


@dataclass(frozen=True)
class LegalLabels:
    """Labels as Google Cloud takes them.

    Attributes:
        labels: What is sent.
        changed: Labels that had to be written otherwise or left out, as they were given.
    """

    labels: Mapping[str, str]
    changed: Mapping[str, str] = field(default_factory=dict)


def legal_labels(given: Mapping[str, str]) -> LegalLabels:
    """Makes labels legal: lower-case letters, digits, ``_`` and ``-``, 63 at most; 64 labels.

    Args:
        given: Labels, the most important first: those beyond the limit are left out.

    Returns:
        The labels, and what was changed.
    """
    labels: dict[str, str] = {}
    changed = {}
    for key, value in given.items():
        legal_key, legal_value = _free(_legal_key(key), labels), _legal(value)
        if len(labels) < MAX_LABELS:
            labels[legal_key] = legal_value
        if labels.get(legal_key) != value or legal_key != key:
            changed[key] = value
    return LegalLabels(labels, changed)


def run_label(run_id: str) -> str:
    """Names a pipeline run in a label, no two runs alike.

    Args:
        run_id: The run.

    Returns:
        The id itself where it is legal, else what is legal of it and a digest.
    """
    legal = _legal(run_id)
    return legal if legal == run_id else f"{legal[:50]}-{_digest(run_id)}"


def resource_id(display_name: str, key: str) -> str:
    """Makes the id of a model or an endpoint.

    Args:
        display_name: What the user called it, for people who read the id.
        key: What decides: the same key gives the same id.

    Returns:
        Lower-case letters, digits and ``-``, a letter first, 63 at most.
    """
    name = re.sub(r"[^a-z0-9]+", "-", display_name.lower()).strip("-")[:_ID_NAME_LENGTH].strip("-")
    if not name[:1].isalpha():
        name = f"model-{name}".strip("-")
    return f"{name}-{_digest(key)}"


def deployment_id(key: str) -> str:
    """Makes the id of a deployed model: ten digits, the same key the same ones."""
    return str(10**9 + int(_digest(key), 16) % (9 * 10**9))


def version_aliases(text: str) -> list[str]:
    """Reads a comma-separated list of version aliases.

    Args:
        text: The list; blanks around the commas are ignored.

    Returns:
        The aliases.

    Raises:
        UserError: If one cannot be an alias.
    """
    aliases = [alias.strip() for alias in text.split(",") if alias.strip()]
    for alias in aliases:
        if not re.fullmatch(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]", alias):
            raise UserError(
                Problem(
                    f"{alias!r} is no alias.",
                    "version_aliases",
                    "letters, digits and '-', a small letter first, 2 to 128 characters, "
                    "separated by commas",
                )
            )
    return aliases


def _legal(value: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-")[:_LABEL_LENGTH]


def _legal_key(key: str) -> str:
    legal = _legal(key)
    return legal if legal[:1].isalpha() else f"label-{legal}"[:_LABEL_LENGTH]


def _free(key: str, taken: Mapping[str, str]) -> str:
    number, free = 1, key
    while free in taken:
        number += 1
        free = f"{key[: _LABEL_LENGTH - 1 - len(str(number))]}-{number}"
    return free


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
