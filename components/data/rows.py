"""The rows of a dataset: a text with its output, or a conversation."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

FilledText: TypeAlias = Annotated[str, Meta(min_length=1)]


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
