"""The instances of a prediction: plain texts or conversations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError

if TYPE_CHECKING:
    from kfp_llm_tuning.components.data.rows import Message

HALF_CHARACTER = Problem("half of a surrogate pair is no character.", allowed="whole characters")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Instance:
    """What the model is asked.

    Attributes:
        messages: The conversation so far, the message that asks last; one message for plain text.
        context: What the assistant is told beforehand.
        is_chat: Whether it is a conversation; a plain text is written as training wrote it.
        tools: Definitions of the tools that may be called.
        where: Its file and line, for messages; empty where it has none.
    """

    messages: tuple[Message, ...]
    context: str = ""
    is_chat: bool = False
    tools: tuple[dict[str, Any], ...] = ()
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Refuses what is no text.

        Raises:
            UserError: If half of a surrogate pair stands in it, as JSON and command lines allow.
        """
        for text in (self.context, *(message.content for message in self.messages)):
            if not text.isascii() and _SURROGATE.search(text):
                raise UserError(HALF_CHARACTER)


def text_instance(text: str) -> Instance:
    """Makes an instance of plain text."""
    from kfp_llm_tuning.components.data.rows import Message

    return Instance((Message("user", text),))
