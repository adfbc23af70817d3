"""Conversations as a chat template takes them: transformers' messages and tools."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from operator import is_
from typing import Any

from kfp_llm_tuning.components.data.rendering.control_tokens import ControlTokenMask
from kfp_llm_tuning.components.data.rendering.prompts import Turn
from kfp_llm_tuning.components.data.rendering.reasoning import (
    has_reasoning,
    join_reasoning,
    split_reasoning,
)
from kfp_llm_tuning.components.data.rows import Message, ToolCall

_NINE_CHARACTERS = re.compile("[A-Za-z0-9]{9}")


@dataclass(frozen=True)
class TemplateDialect:
    """What templates take in different ways, and how one of them does.

    Attributes:
        system: Whether it writes system messages.
        reasoning_field: Whether it writes an answer's ``reasoning_content``.
        reasoning_in_content: Whether it looks for reasoning between tags in an answer's content,
            and writes it.
        drops_reasoning: Whether it looks for reasoning in an answer's content, and leaves it out.
        calls: Whether it writes calls of tools.
        needs_call_ids: Whether it refuses calls without an id.
        nine_character_ids: Whether it refuses ids of other than nine letters and digits, as
            Mistral's do.
        no_content: What an answer's content is where it calls tools and says nothing.
        arguments_as_text: Whether arguments of calls are JSON texts; else they are objects.
    """

    system: bool = True
    reasoning_field: bool = False
    reasoning_in_content: bool = False
    drops_reasoning: bool = False
    calls: bool = False
    needs_call_ids: bool = False
    nine_character_ids: bool = False
    no_content: str | None = ""
    arguments_as_text: bool = False

    @property
    def knows_reasoning(self) -> bool:
        """Whether it writes reasoning in any way."""
        return self.reasoning_field or self.reasoning_in_content


class TemplateMessages:
    """Writes one conversation in a dialect, the control tokens that people spelled hidden.

    A conversation that goes on is written on: each of its messages once, whatever is asked of it.
    """

    def __init__(
        self,
        dialect: TemplateDialect,
        mask: ControlTokenMask,
        turn: Turn,
        *,
        tags_are_text: bool = False,
    ) -> None:
        """Remembers how the conversation is written.

        Args:
            dialect: What the template takes.
            mask: Hides control tokens.
            turn: A part of the conversation.
            tags_are_text: Whether tags of reasoning at an answer's start are nothing but text.
        """
        self._dialect = dialect
        self._tags_are_text = tags_are_text
        self._mask = mask
        self._turn = turn
        self._said: list[Message] = []
        self._written: list[dict[str, Any]] = []
        # Calls and answers without an id belong together by their order.
        self._nameless_calls, self._nameless_answers = count(), count()

    def holds(self, turn: Turn) -> bool:
        """Tells whether a turn belongs to this conversation: what both have said is the same."""
        return (
            turn.context == self._turn.context
            and turn.tools is self._turn.tools
            and all(map(is_, self._said, turn.messages))
        )

    @cached_property
    def tools(self) -> list[Mapping[str, Any]] | None:
        """The definitions of tools; None where there are none."""
        return [self._mask.hide_within(tool) for tool in self._turn.tools] or None

    def messages(self, turn: Turn) -> list[dict[str, Any]]:
        """Writes the context and the messages.

        A template that knows no system message gets the context at the start of the first message,
        with a blank line between.

        Args:
            turn: What the conversation has come to.
        """
        new = turn.messages[len(self._said) :]
        self._written += list(map(self._message, new))
        self._said += new
        messages = self._written[: len(turn.messages)]
        if not turn.context:
            return messages
        if self._dialect.system or not messages or messages[0]["role"] != "user":
            return [self._system_message, *messages]
        return [self._first_with_context, *messages[1:]]

    @cached_property
    def _context(self) -> str:
        return self._mask.hide(self._turn.context)

    @cached_property
    def _system_message(self) -> dict[str, Any]:
        return {"role": "system", "content": self._context}

    @cached_property
    def _first_with_context(self) -> dict[str, Any]:
        first = self._written[0]
        return first | {"content": f"{self._context}\n\n{first['content']}"}

    def _message(self, message: Message) -> dict[str, Any]:
        hide = self._mask.hide
        if message.author == "assistant":
            return self._answer(message)
        written = {"role": message.author, "content": hide(message.content)}
        if message.name:
            written["name"] = hide(message.name)
        if message.author == "tool":
            answered = self._call_id(message.tool_call_id, self._nameless_answers)
            written |= {"tool_call_id": answered} if answered else {}
        return written

    def _answer(self, message: Message) -> dict[str, Any]:
        written: dict[str, Any] = {"role": "assistant", **self._words(message)}
        if message.tool_calls:
            written["content"] = written["content"] or self._dialect.no_content
            written["tool_calls"] = list(map(self._call, message.tool_calls))
        return written

    def _words(self, message: Message) -> dict[str, Any]:
        """Writes content and reasoning: as the data has them, where the template takes that."""
        hide, dialect = self._mask.hide, self._dialect
        reasoning, content = message.reasoning, message.content
        if not reasoning:
            if self._tags_are_text or not has_reasoning(content):
                return {"content": hide(content)}
            opening, inline, closing, rest = split_reasoning(content)
            if dialect.reasoning_in_content:
                return {"content": f"{opening}{hide(inline)}{closing}{hide(rest)}"}
            reasoning, content = inline.strip("\n"), rest.lstrip("\n")
        if dialect.reasoning_field:
            return {"content": hide(content), "reasoning_content": hide(reasoning)}
        if dialect.reasoning_in_content:
            return {"content": join_reasoning(hide(reasoning), hide(content))}
        return {"content": hide(content)}

    def _call(self, call: ToolCall) -> dict[str, Any]:
        arguments: Any = self._mask.hide_within(call.arguments)
        if self._dialect.arguments_as_text:
            arguments = json.dumps(arguments, ensure_ascii=False)
        function = {"name": self._mask.hide(call.name), "arguments": arguments}
        call_id = self._call_id(call.id, self._nameless_calls)
        return {"type": "function", **({"id": call_id} if call_id else {}), "function": function}

    def _call_id(self, call_id: str, nameless: Iterator[int]) -> str:
        """Writes an id as the template takes it: nothing matters of it but that it matches."""
        if not call_id:
            return f"{next(nameless):09}" if self._dialect.needs_call_ids else ""
        if self._dialect.nine_character_ids and not _NINE_CHARACTERS.fullmatch(call_id):
            return hashlib.sha256(call_id.encode()).hexdigest()[:9]
        return self._mask.hide(call_id)
