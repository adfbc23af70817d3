"""What every format of conversations has in common: who speaks when, and what answers what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET, UnsetType

from kfp_llm_tuning.components.data.formats.checks import has_errors, join, wrong_type
from kfp_llm_tuning.components.data.formats.format import UnwritableRowError
from kfp_llm_tuning.components.data.reading.field_names import quote
from kfp_llm_tuning.components.data.reading.findings import Finding
from kfp_llm_tuning.components.data.reading.json_syntax import Number
from kfp_llm_tuning.components.data.rows import (
    ChatRow,
    Message,
    MessagePlace,
    Row,
    TextRow,
    ToolCall,
)

# Between instructions that stand one after the other before the conversation.
_BETWEEN = "\n\n"


@dataclass
class Conversation:
    """A conversation that is being read.

    Attributes:
        path: The list of messages, for what is said of them all.
        findings: Takes what is wrong; what it held before does not count.
        assistant: What the format calls the assistant.
        messages: What was read; None for a message of which not even the author is known.
        places: Where the messages stand.
    """

    path: str
    findings: list[Finding]
    assistant: str = "assistant"
    messages: list[Message | None] = field(default_factory=list)
    places: list[MessagePlace] = field(default_factory=list)
    _found_before: int = 0

    def __post_init__(self) -> None:
        """Takes note of how much was found before."""
        self._found_before = len(self.findings)

    def add(
        self, message: Message | None, path: str, reasoning: str = "", calls: Sequence[str] = ()
    ) -> None:
        """Takes the next message.

        Args:
            message: The message. One whose text is wrong, which is found, counts for its author.
            path: Where its text stands.
            reasoning: Where its reasoning stands, if apart.
            calls: Where each of its calls stands.
        """
        self.messages.append(message)
        self.places.append(MessagePlace(path, reasoning, tuple(calls)))

    def finish(
        self, context: str | UnsetType = UNSET, tools: tuple[dict[str, object], ...] = ()
    ) -> ChatRow | None:
        """Judges the whole, and makes a row of it.

        Args:
            context: What the row itself says beforehand; else instructions that stand first do.
            tools: Definitions of tools.

        Returns:
            The row; None where there is an error.
        """
        known = [message for message in self.messages if message]
        if len(known) == len(self.messages):
            self.findings += self._judge(known, bool(context))
        if has_errors(self.findings[self._found_before :]):
            return None
        start = 0
        if context is UNSET:
            start = next((i for i, said in enumerate(known) if said.author != "system"), 0)
            if start:
                context = _BETWEEN.join(said.content for said in known[:start])
        return ChatRow(known[start:], context, tools, tuple(self.places[start:]))

    def _judge(self, messages: list[Message], has_context: bool) -> Iterator[Finding]:
        if not messages:
            what = f"{self.path.rpartition('.')[2]} is empty."
            yield Finding("empty_messages", what, "messages", path=self.path)
            return
        yield from self._judge_calls(messages)
        answers = [said for said in messages if said.author == "assistant"]
        if not answers:
            what = f"the conversation has no message of the {self.assistant}'s."
            yield Finding("no_answer", what, fix="Add the answer to learn.", path=self.path)
        elif messages[-1].author != "assistant":
            what = f"the conversation ends with the {messages[-1].author}'s message."
            fix = "Add the answer to learn."
            yield Finding("no_last_answer", what, f"the {self.assistant} last", fix, path=self.path)
        if answers and not any(said.learned for said in answers):
            what = f"every message of the {self.assistant}'s has the weight 0: nothing is learned."
            yield Finding("nothing_learned", what, "the weight 1 for one at least", path=self.path)
        first = messages[0]
        if first.author == "assistant" and first.learned and not has_context:
            what = f"the conversation begins with the {self.assistant}'s message: nothing is asked."
            fix = "Put what the user says before it, or take it out."
            yield Finding("nothing_asked", what, "the user first", fix, path=self.places[0].content)

    def _judge_calls(self, messages: list[Message]) -> Iterator[Finding]:
        """Finds the call that each tool's answer belongs to."""
        calls: list[ToolCall] = []
        for position, said in enumerate(messages):
            calls += said.tool_calls
            if said.author != "tool":
                continue
            call = next((call for call in calls if _belongs(said, call)), None)
            if call:
                calls.remove(call)
                messages[position] = msgspec.structs.replace(said, name=said.name or call.name)
                self.messages[position] = messages[position]
            else:
                yield self._without_call(said, calls, self.places[position].content)

    def _without_call(self, said: Message, calls: list[ToolCall], path: str) -> Finding:
        refers = said.tool_call_id or said.name
        what = f"the tool's answer refers to {quote(refers)}" if refers else "the tool answers"
        what += ", and no such call stands before it." if refers else " where nothing was called."
        open_calls = ", ".join(quote(call.id or call.name) for call in calls[:5])
        allowed = f"an answer to {open_calls}" if calls else ""
        fix = f"Put the {self.assistant}'s call before it."
        return Finding("answer_without_call", what, allowed, fix, path=path)


def _belongs(said: Message, call: ToolCall) -> bool:
    if said.tool_call_id and call.id:
        return said.tool_call_id == call.id
    return not said.name or said.name == call.name


def as_conversation(row: Row) -> ChatRow:
    """Gives a row as a conversation: of a text, its input is said by the user."""
    if isinstance(row, ChatRow):
        return row
    return ChatRow([Message("user", row.input_text), Message("assistant", row.output_text)])


def as_text(row: Row) -> TextRow | None:
    """Gives a row as a text; None where it holds more than a question and its answer."""
    if isinstance(row, TextRow):
        return row
    if len(row.messages) != 2 or row.context is not UNSET or row.tools:
        return None
    question, answer = row.messages
    if (question.author, answer.author) != ("user", "assistant") or answer.tool_calls:
        return None
    return TextRow(question.content, content_with_reasoning(answer))


def content_with_reasoning(message: Message) -> str:
    """Writes a message for formats that have no place for reasoning: it stands before the text."""
    if not message.reasoning:
        return message.content
    return f"<think>\n{message.reasoning}\n</think>\n\n{message.content}"


def refuse_tools(row: ChatRow, title: str) -> None:
    """Refuses to write tools in a format that has none.

    Raises:
        UnwritableRowError: If the row has tools, calls or their answers.
    """
    if row.tools or any(said.tool_calls or said.author == "tool" for said in row.messages):
        raise UnwritableRowError(f"{title} has no tools, and the row does.")


def refuse_weights(row: ChatRow, title: str) -> None:
    """Refuses to write a conversation of which not all is learned.

    Raises:
        UnwritableRowError: If an answer is not learned.
    """
    if any(said.author == "assistant" and not said.learned for said in row.messages):
        raise UnwritableRowError(
            f"{title} has no weights: every answer would be learned, and of the row not all are."
        )


def split_into_pairs(row: ChatRow, title: str) -> list[tuple[str, str]]:
    """Takes a conversation apart into what is asked and what is answered.

    Raises:
        UnwritableRowError: If user and assistant do not speak in turn.
    """
    authors = [said.author for said in row.messages]
    if authors != ["user", "assistant"] * (len(authors) // 2):
        raise UnwritableRowError(
            f"{title} has user and assistant in turn, and in the row they are not."
        )
    texts = [content_with_reasoning(said) for said in row.messages]
    return list(zip(texts[::2], texts[1::2], strict=True))


def read_weight(weight: object, path: str, findings: list[Finding]) -> bool:
    """Reads the weight of an answer.

    Args:
        weight: 0 or 1; None for none.
        path: Of the message.
        findings: Takes what is wrong.

    Returns:
        Whether the answer is learned.
    """
    if weight is None:
        return True
    if isinstance(weight, Number) and weight in ("0", "1", "0.0", "1.0"):
        return float(weight) == 1
    allowed = "0 (not learned) or 1"
    findings.append(wrong_type(weight, join(path, "weight"), allowed))
    return True
