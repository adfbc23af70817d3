"""Parts of a conversation that a format does not write: nothing is learned without them.

Chat templates pass over what they do not know without a word. What one does with a conversation is
found out with another of the same shape, whose texts are words that stand nowhere else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple, TypeAlias

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.data.rendering.prompts import RowRefusedError, Turn
from kfp_llm_tuning.components.data.rendering.reasoning import (
    join_reasoning,
    split_reasoning,
    thinks,
)
from kfp_llm_tuning.components.data.rows import Author, Message, ToolCall

_WITHOUT_TOOLS = "Leave out tools, or choose a model whose chat template knows them."
_WITHOUT_REASONING = (
    "Leave it out, write it between <think> and </think> at the start of the content (where it is "
    "learned as text), or choose a model whose chat template knows reasoning."
)


# So many are remembered: long conversations have hardly ever the same.
_MAXIMUM_SHAPES = 4096


class Part(Enum):
    """What stands in a conversation: what is said where it is left out, and what to do."""

    TOOLS = ("writes no tool definitions.", _WITHOUT_TOOLS)
    CALLS = ("writes no tool calls.", _WITHOUT_TOOLS)
    CALL = ("leaves out this tool call.", "Write a message for each call, or choose another model.")
    TOOL_ANSWERS = ("writes no answers of tools.", _WITHOUT_TOOLS)
    REASONING = ("writes no reasoning.", _WITHOUT_REASONING)
    INLINE_REASONING = (
        "takes reasoning out of every answer.",
        "Leave it out, or choose a model whose chat template writes reasoning.",
    )
    CALLERS_WORDS = ("leaves out what is said beside a tool call.", "Leave it out of the row.")
    SYSTEM_MESSAGE = ("leaves out this system message.", "Write it as context, or as a user's.")
    WORDS = ("leaves out this message.", "Leave it out of the row, or choose another model.")

    def __init__(self, complaint: str, fix: str) -> None:
        """Names the members' two values."""
        self.complaint = complaint
        self.fix = fix


Parts: TypeAlias = Iterable[tuple[str, Part]]


def list_parts(turn: Turn) -> Iterator[tuple[str, Part]]:
    """Lists what a conversation has beyond the words of its messages.

    Args:
        turn: The conversation.

    Yields:
        Where it stands, and what it is.
    """
    if turn.tools:
        yield "tools", Part.TOOLS
    for position, message in enumerate(turn.messages):
        where = f"messages[{position}]"
        if message.author == "tool":
            yield where, Part.TOOL_ANSWERS
        if message.tool_calls:
            yield f"{where}.tool_calls", Part.CALLS
        if message.reasoning:
            yield f"{where}.reasoning", Part.REASONING
        elif thinks(message):
            yield f"{where}.content", Part.INLINE_REASONING


def refuse_omissions(writer: str, omitted: Parts) -> RowRefusedError | None:
    """Says what a format does not write, each part once.

    Args:
        writer: What the format is called.
        omitted: What it leaves out of a row.

    Returns:
        The refusal; None where nothing is left out.
    """
    first: dict[Part, str] = {}
    for where, part in omitted:
        first.setdefault(part, where)
    problems = [
        Problem(f"{writer} {part.complaint}", where, fix=part.fix) for part, where in first.items()
    ]
    return RowRefusedError(*problems) if problems else None


class _MessageShape(NamedTuple):
    """What a message consists of.

    Attributes:
        author: Who speaks.
        has_content: Whether there are words beside its reasoning.
        reasoning: "", "apart" or "inline".
        calls: For each call, whether it has arguments and an id.
        has_name: Whether the answering tool is named.
        has_call_id: Whether the answered call is.
    """

    author: Author
    has_content: bool
    reasoning: str
    calls: tuple[tuple[bool, bool], ...]
    has_name: bool
    has_call_id: bool


class _Shape(NamedTuple):
    has_context: bool
    has_tools: bool
    messages: tuple[_MessageShape, ...]


class _Words(NamedTuple):
    """Words of a probe which must be written, where they stand in it, and as what."""

    words: tuple[str, ...]
    where: str
    part: Part


class OmissionFinder:
    """Finds out what a template leaves out of conversations, once for each shape of them."""

    def __init__(
        self,
        render: Callable[[Sequence[Turn]], Sequence[str | RowRefusedError]],
        unwritten: Collection[Part],
    ) -> None:
        """Knows no shape yet.

        Args:
            render: Writes conversations, the last message included.
            unwritten: What the template never writes.
        """
        self._render = render
        self._unwritten = unwritten
        self._found: dict[_Shape, tuple[tuple[str, Part], ...]] = {}

    def find(self, turns: Sequence[Turn]) -> list[Parts]:
        """Finds what is left out of conversations.

        Args:
            turns: The conversations.

        Returns:
            Of each, what is left out and where it stands; where the template refuses it, only what
            it never writes.
        """
        if len(self._found) > _MAXIMUM_SHAPES:
            self._found.clear()
        # Turns of one conversation have its messages in common.
        known: dict[int, _MessageShape] = {}
        shapes = [_shape_of(turn, known) for turn in turns]
        if unknown := list(dict.fromkeys(shape for shape in shapes if shape not in self._found)):
            probes = [_Probe(shape) for shape in unknown]
            rendered = self._render([probe.turn for probe in probes])
            for shape, probe, text in zip(unknown, probes, rendered, strict=True):
                self._found[shape] = tuple(self._missing(probe, text))
        return [
            [*self._never_written(turn), *self._found[shape]]
            for turn, shape in zip(turns, shapes, strict=True)
        ]

    def _never_written(self, turn: Turn) -> Parts:
        answer = _path_of_last(turn)
        return (
            (where, part)
            for where, part in list_parts(turn)
            if part in self._unwritten
            and (part != Part.INLINE_REASONING or where.startswith(answer))
        )

    def _missing(self, probe: _Probe, text: str | RowRefusedError) -> Iterator[tuple[str, Part]]:
        if isinstance(text, RowRefusedError):
            return
        answer = _path_of_last(probe.turn)
        for words, where, part in probe.expected:
            # Templates take reasoning out of the history: that is their own way.
            is_required = part != Part.REASONING or where.startswith(answer)
            is_told = part == Part.CALL and Part.CALLS in self._unwritten
            if is_required and not is_told and not all(word in text for word in words):
                yield where, part


def _path_of_last(turn: Turn) -> str:
    return f"messages[{len(turn.messages) - 1}]"


def _shape_of(turn: Turn, known: dict[int, _MessageShape]) -> _Shape:
    for message in turn.messages:
        if id(message) not in known:
            known[id(message)] = _message_shape(message)
    messages = tuple(known[id(message)] for message in turn.messages)
    return _Shape(bool(turn.context), bool(turn.tools), messages)


def _message_shape(message: Message) -> _MessageShape:
    reasoning, content = "apart" if message.reasoning else "", message.content
    if not reasoning and thinks(message):
        reasoning, content = "inline", split_reasoning(content)[-1].strip()
    calls = tuple((bool(call.arguments), bool(call.id)) for call in message.tool_calls)
    named = bool(message.name), bool(message.tool_call_id)
    return _MessageShape(message.author, bool(content), reasoning, calls, *named)


class _Probe:
    """A conversation of a shape, of words that stand nowhere else.

    Attributes:
        turn: The conversation.
        expected: The words that must be found of it.
    """

    def __init__(self, shape: _Shape) -> None:
        self.expected: list[_Words] = []
        self._call_ids: deque[str] = deque()
        if shape.has_tools:
            self.expected.append(_Words(("offered", "Described."), "tools", Part.TOOLS))
        messages = [self._message(at, said) for at, said in enumerate(shape.messages)]
        context = "Context." if shape.has_context else ""
        self.turn = Turn(messages, context, tools=[_TOOL] if shape.has_tools else [])

    def _message(self, position: int, said: _MessageShape) -> Message:
        where = f"messages[{position}]"
        calls = tuple(self._calls(where, position, said))
        # No word is a part of another one.
        content, thought = f"content{position}end", f"thought{position}end"
        inline = said.reasoning == "inline"
        if said.reasoning:
            field = "content" if inline else "reasoning"
            self._expect(f"{where}.{field}", Part.REASONING, thought)
        if said.has_content:
            part = _CONTENTS.get(said.author, Part.CALLERS_WORDS if calls else Part.WORDS)
            self._expect(f"{where}.content", part, content)
        words = content if said.has_content else ""
        answered = self._call_ids.popleft() if said.has_call_id and self._call_ids else _CALL_ID
        return Message(
            said.author,
            join_reasoning(thought, words) if inline else words,
            thought if said.reasoning == "apart" else "",
            calls,
            name="answering" if said.has_name else "",
            tool_call_id=answered if said.has_call_id else "",
        )

    def _calls(self, where: str, position: int, said: _MessageShape) -> Iterator[ToolCall]:
        for number, (has_arguments, has_id) in enumerate(said.calls):
            name, value = f"function{position}x{number}end", f"value{position}x{number}end"
            words = (name, value) if has_arguments else (name,)
            self._expect(f"{where}.tool_calls[{number}]", Part.CALL, *words)
            call_id = f"{position:05}{number:04}" if has_id else ""
            if has_id:
                self._call_ids.append(call_id)
            yield ToolCall(name, {"argument": value} if has_arguments else {}, call_id)

    def _expect(self, where: str, part: Part, *words: str) -> None:
        self.expected.append(_Words(words, where, part))


_CONTENTS = {"tool": Part.TOOL_ANSWERS, "system": Part.SYSTEM_MESSAGE}
# Some templates take ids of nine letters and digits alone.
_CALL_ID = "000000000"
_TOOL = {
    "type": "function",
    "function": {
        "name": "offered",
        "description": "Described.",
        "parameters": {
            "type": "object",
            "properties": {"argument": {"type": "string", "description": "An argument."}},
            "required": ["argument"],
        },
    },
}
