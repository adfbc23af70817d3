"""What a model learns from rows: the one place where rows become prompts and answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from msgspec import UNSET

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.rendering.prompts import (
    Example,
    PromptFormatter,
    RowRefusedError,
    Turn,
    UnusableTemplateError,
)
from kfp_llm_tuning.components.data.rows import (
    ChatRow,
    Message,
    Row,
    TextRow,
    answers,
    count_message_characters,
)

PlaceType = TypeVar("PlaceType")

# Rendered together: few enough to hold in memory, enough for a template's process to be worth
# asking.
_TURNS = 64
_CHARACTERS = 2**20

_MESSAGE = re.compile(r"messages\[(\d+)\]")


@dataclass(frozen=True)
class RowExample(Generic[PlaceType]):
    """One example of a row.

    Attributes:
        place: Where the row stands.
        path: Where in the row the answer stands.
        example: Prompt and answer; else a `RowRefusedError`, or the `UnusableTemplateError` after
            which no more are written.
        head: Characters at the prompt's start (a conversation's context) that stay when an
            over-long prompt loses its oldest part; None where the start is what stays (text).
        question: Where in the prompt the last message stands, from its first character to that
            behind its last; None where the format has changed it.
    """

    place: PlaceType
    path: str
    example: Example | UserError
    head: int | None = None
    question: tuple[int, int] | None = None


class RowRenderer(Generic[PlaceType]):
    """Writes what a model learns from rows, in their order.

    A text gives one example; a conversation one for each answer that is learned, with the whole
    history before it.
    """

    def __init__(
        self,
        formatter: PromptFormatter,
        default_context: str,
        take: Callable[[RowExample[PlaceType]], None],
    ) -> None:
        """Starts with no row.

        Args:
            formatter: Writes the examples.
            default_context: Context of conversations that have none of their own.
            take: Called with every example, at the latest by `finish`; told the
                `UnusableTemplateError`, it may raise one that says where.
        """
        self._formatter = formatter
        self._default_context = default_context
        self._take = take
        self._waiting: list[tuple[PlaceType, Row, str, Turn]] = []
        self._characters = 0

    def add(self, place: PlaceType, row: Row) -> None:
        """Takes a row.

        Args:
            place: Where it stands.
            row: The row.

        Raises:
            UnusableTemplateError: If no row can be written for the model.
        """
        for path, turn in _turns(row, self._default_context):
            self._waiting.append((place, row, path, turn))
            self._characters += count_message_characters(turn.messages)
            if len(self._waiting) == _TURNS or self._characters > _CHARACTERS:
                self.finish()

    def finish(self) -> None:
        """Writes what was not written yet.

        Raises:
            UnusableTemplateError: If no row can be written for the model.
        """
        waiting, self._waiting, self._characters = self._waiting, [], 0
        examples: Iterable[Example | UserError]
        try:
            examples = self._formatter.examples([turn for *_, turn in waiting])
        except UnusableTemplateError:
            # One after the other: which is it?
            examples = map(self._last_example, (turn for *_, turn in waiting))
        for (place, row, path, turn), example in zip(waiting, examples, strict=True):
            is_written = isinstance(example, Example)
            head = self._head(turn) if is_written and turn.is_chat else None
            question = _question(example, turn)
            self._take(RowExample(place, path, _at(row, path, example), head, question))
            if isinstance(example, UnusableTemplateError):
                raise example

    def _head(self, turn: Turn) -> int:
        return self._formatter.head_length(turn.context, turn.tools)

    def _last_example(self, turn: Turn) -> Example | UserError:
        try:
            [example] = self._formatter.examples([turn])
        except UnusableTemplateError as error:
            return error
        return example


def _at(row: Row, path: str, example: Example | UserError) -> Example | UserError:
    """Names the answer that cannot be written, where no other place in the row is the cause."""
    if isinstance(example, Example):
        return example
    places = [
        _place_in_row(row, problem.where) if isinstance(example, RowRefusedError) else ""
        for problem in example.problems
    ]
    problems = zip(example.problems, places, strict=True)
    return type(example)(*(replace(problem, where=place or path) for problem, place in problems))


def _place_in_row(row: Row, where: str) -> str:
    """Finds where in the row that was read something of the conversation stands."""
    message = _MESSAGE.match(where)
    if not message or not isinstance(row, ChatRow) or not row.places:
        return where
    return row.places[int(message[1])].part(where[message.end() :].removeprefix("."))


def _question(example: Example | UserError, turn: Turn) -> tuple[int, int] | None:
    if isinstance(example, UserError) or len(turn.messages) < 2:
        return None
    asked = turn.messages[-2].content.strip()
    start = example.prompt.rfind(asked) if asked else -1
    return (start, start + len(asked)) if start >= 0 else None


def _turns(row: Row, default_context: str) -> Iterator[tuple[str, Turn]]:
    """Lists a row's answers: where they stand, and what was said before."""
    if isinstance(row, TextRow):
        messages = [Message("user", row.input_text), Message("assistant", row.output_text)]
        yield "output_text", Turn(messages, is_chat=False)
        return
    context = default_context if row.context is UNSET else str(row.context)
    for position, _ in answers(row):
        messages = row.messages[: position + 1]
        yield row.path(position), Turn(messages, context, tools=row.tools)
