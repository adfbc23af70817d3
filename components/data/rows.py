"""The rows of a dataset: a text with its output, or a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

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


class ToolCall(Struct, gc=False):
    """What the assistant asks a tool to do.

    Attributes:
        name: The tool's name.
        arguments: By name, as JSON has them.
        id: What the tool's answer refers to; empty where the data names none.
    """

    name: str
    arguments: dict[str, Any]
    id: str = ""


class Message(Struct, gc=False):
    """One message of a conversation.

    Attributes:
        author: Who speaks; published rows have users and assistants alone.
        content: What is said; empty only beside tool calls.
        reasoning: What the assistant thought before it, where the data holds it apart.
        tool_calls: What the assistant asks tools to do.
        name: The tool whose answer this is; empty where the data does not say.
        tool_call_id: The call that a tool answers.
        learned: Of an assistant's message, whether it is learned or only history.
    """

    author: Literal["system", "user", "assistant", "tool"]
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    name: str = ""
    tool_call_id: str = ""
    learned: bool = True


class ChatRow(Struct, gc=False):
    """A conversation, whatever format it was written in.

    Attributes:
        messages: In their order; published rows alternate between user and assistant.
        context: What the assistant is told beforehand. It overrides the pipeline's default_context,
            also when it is empty.
        tools: Definitions of the tools that may be called: JSON schemas of functions.
    """

    messages: list[Message]
    context: str | UnsetType = UNSET
    tools: tuple[dict[str, Any], ...] = ()


Row: TypeAlias = TextRow | ChatRow


def answers(row: ChatRow) -> Iterator[tuple[int, Message]]:
    """Gives the assistant's messages that are learned, each with its position."""
    return (
        (position, message)
        for position, message in enumerate(row.messages)
        if message.author == "assistant" and message.learned
    )


def count_messages(rows: Sequence[Row]) -> int:
    """Counts the messages ("authors") of conversations; none for text rows."""
    return sum(len(row.messages) for row in rows if isinstance(row, ChatRow))
