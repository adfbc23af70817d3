"""The rows of a dataset: a text with its output, or a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

FilledText: TypeAlias = Annotated[str, Meta(min_length=1)]
Author: TypeAlias = Literal["system", "user", "assistant", "tool"]


class RowFormat(StrEnum):
    """What a row holds: one input and output, or a conversation."""

    TEXT = "text"
    CHAT = "chat"


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

    author: Author
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    name: str = ""
    tool_call_id: str = ""
    learned: bool = True


class MessagePlace(Struct, gc=False):
    """Where a message stands in the row that was read.

    Attributes:
        content: Its text, or all of it where the text has no place of its own.
        reasoning: Its reasoning, where that stands apart.
        calls: Each of its calls.
    """

    content: str
    reasoning: str = ""
    calls: tuple[str, ...] = ()

    def part(self, field: str) -> str:
        """Gives the place of ``content``, ``reasoning``, ``tool_calls`` or ``tool_calls[1]``."""
        if field == "reasoning":
            return self.reasoning or self.content
        name, _, number = field.rstrip("]").partition("[")
        if name != "tool_calls" or not self.calls:
            return self.content
        return self.calls[int(number or 0)]

    def within(self, path: str) -> MessagePlace:
        """Gives the place within the row that stands at a path."""
        content, reasoning, *calls = (
            place.removeprefix(f"{path}.") for place in (self.content, self.reasoning, *self.calls)
        )
        return MessagePlace(content, reasoning, tuple(calls))


class ChatRow(Struct, gc=False):
    """A conversation, whatever format it was written in.

    Attributes:
        messages: In their order; published rows alternate between user and assistant.
        context: What the assistant is told beforehand. It overrides the pipeline's default_context,
            also when it is empty.
        tools: Definitions of the tools that may be called, as OpenAI's API and chat templates have
            them: ``{"type": "function", "function": {name, description, parameters}}``.
        places: Where each message stands in the row that was read; empty for
            ``messages[0].content`` and so on.
    """

    messages: list[Message]
    context: str | UnsetType = UNSET
    tools: tuple[dict[str, Any], ...] = ()
    places: tuple[MessagePlace, ...] = ()

    def path(self, position: int) -> str:
        """Says where a message's text stands in the row that was read."""
        return self.places[position].content if self.places else f"messages[{position}].content"


Row: TypeAlias = TextRow | ChatRow


def answers(row: ChatRow) -> Iterator[tuple[int, Message]]:
    """Gives the assistant's messages that are learned, each with its position."""
    return (
        (position, message)
        for position, message in enumerate(row.messages)
        if message.author == "assistant" and message.learned
    )


def learn_last_answer(row: Row) -> Row:
    """Gives a conversation of which the last answer alone is learned; a text as it is."""
    if isinstance(row, TextRow):
        return row
    last = max((position for position, _ in answers(row)), default=-1)
    messages = [
        replace(message, learned=message.learned and position == last)
        for position, message in enumerate(row.messages)
    ]
    return replace(row, messages=messages)


def message_text(message: Message) -> str:
    """Gives what a message says: its content, and its calls as JSON, without their ids."""
    if not message.tool_calls:
        return message.content
    calls = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
    written = msgspec.json.encode(calls).decode()
    return f"{message.content}\n{written}" if message.content else written


def count_characters(row: Row) -> int:
    """Counts the characters of a row's texts; those of tools and calls as JSON."""
    if isinstance(row, TextRow):
        return len(row.input_text) + len(row.output_text)
    context = 0 if row.context is UNSET else len(str(row.context))
    return context + _count_json(row.tools) + count_message_characters(row.messages)


def count_message_characters(messages: Iterable[Message]) -> int:
    """Counts the characters of messages, those of calls as JSON."""
    return sum(
        len(message.content) + len(message.reasoning) + _count_json(message.tool_calls)
        for message in messages
    )


def _count_json(values: Sequence[Any]) -> int:
    return len(msgspec.json.encode(values)) if values else 0


def count_answers(rows: Sequence[Row]) -> int:
    """Counts what is learned of rows: each text's output, and each answer of conversations."""
    return sum(sum(1 for _ in answers(row)) if isinstance(row, ChatRow) else 1 for row in rows)


def count_messages(rows: Sequence[Row]) -> int:
    """Counts the messages ("authors") of conversations; none for text rows."""
    return sum(len(row.messages) for row in rows if isinstance(row, ChatRow))
