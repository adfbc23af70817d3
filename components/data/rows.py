"""The rows of a dataset: a text with its output, or a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

FilledText: TypeAlias = Annotated[str, Meta(min_length=1)]


class RowFormat(StrEnum):
    """What a row holds: one input and output, or a conversation."""

    TEXT = "text"
    CHAT = "chat"


READ_FIELDS = {
    RowFormat.TEXT: ("input_text", "output_text"),
    RowFormat.CHAT: ("messages", "context"),
}


class TextRow(Struct, gc=False):
    """A text example; further fields are ignored."""

    input_text: FilledText
    output_text: FilledText


class Message(Struct, gc=False):
    """One message of a conversation."""

    author: Literal["user", "assistant"]
    content: FilledText


class ChatRow(Struct, gc=False):
    """A conversation; further fields are ignored.

    ``context`` overrides the pipeline's default_context, also when it is empty.
    """

    messages: Annotated[list[Message], Meta(min_length=2)]
    context: str | UnsetType = UNSET


Row: TypeAlias = TextRow | ChatRow


def assistant_messages(row: ChatRow) -> list[str]:
    """Gives what the assistant says, message by message."""
    return [message.content for message in row.messages[1::2]]


def count_messages(rows: Sequence[Row]) -> int:
    """Counts the messages ("authors") of conversations; none for text rows."""
    return sum(len(row.messages) for row in rows if isinstance(row, ChatRow))
