"""The instances that a deployed model is sent to see whether it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PROMPT: Mapping[str, Any] = {"prompt": "Hello"}
_CHAT: Mapping[str, Any] = {"messages": [{"author": "user", "content": "Hello"}]}
_INSTANCES = {"chat": _CHAT, "codechat": _CHAT, "code": {"prefix": "def hello():"}}
# One token is within the limits of every model.
PARAMETERS: Mapping[str, Any] = {"maxOutputTokens": 1, "temperature": 0}


def instance_for(kind: str) -> Mapping[str, Any]:
    """Gives the instance that a model is asked with.

    Args:
        kind: "text", "chat", "code", "codechat" or "any": what the model was tuned for.

    Returns:
        One instance in the published shape; that of texts for every other kind.
    """
    return _INSTANCES.get(kind, _PROMPT)
