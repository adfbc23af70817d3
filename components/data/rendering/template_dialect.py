"""Finds out by probes which of the ways to write a conversation a chat template takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, TypeAlias

from msgspec import structs

from kfp_llm_tuning.components.data.rendering.control_tokens import ControlTokenMask
from kfp_llm_tuning.components.data.rendering.prompts import Turn
from kfp_llm_tuning.components.data.rendering.reasoning import CLOSING, join_reasoning
from kfp_llm_tuning.components.data.rendering.template_messages import (
    TemplateDialect,
    TemplateMessages,
)
from kfp_llm_tuning.components.data.rendering.template_process import Conversation
from kfp_llm_tuning.components.data.rows import Message, ToolCall

# Renders conversations; what is no text was refused.
Render: TypeAlias = Callable[[Sequence[Conversation]], Sequence[Any]]

_QUESTION = Message("user", "A question.")
_THOUGHT, _SAID, _TOLD = "Thought of it.", "Answer said.", "Told beforehand."
# Some templates demand an id, and one of nine letters and digits.
PROBE_CALL = ToolCall("probed_function", {"argument": "probed value"}, "call00000")
_CALL_WORDS = (PROBE_CALL.name, *PROBE_CALL.arguments, *PROBE_CALL.arguments.values())


def find_dialect(render: Render, mask: ControlTokenMask, template_text: str) -> TemplateDialect:
    """Finds out how a template is to be asked.

    Args:
        render: Has the template write conversations.
        mask: Hides control tokens.
        template_text: All texts that stand in it.

    Returns:
        What it takes. Where it writes no calls of tools at all, they are given as most take them.
    """
    told = Turn([_QUESTION], _TOLD)
    thought = Turn([_QUESTION, Message("assistant", _SAID, _THOUGHT)])
    inline = Turn([_QUESTION, Message("assistant", join_reasoning(_THOUGHT, _SAID))])
    called = Turn([_QUESTION, Message("assistant", "", tool_calls=(PROBE_CALL,))])
    call_dialects = [
        TemplateDialect(no_content=content, arguments_as_text=as_text)
        for as_text, content in product((False, True), ("", None))
    ]
    field, tags = TemplateDialect(reasoning_field=True), TemplateDialect(reasoning_in_content=True)
    asked = [(told, TemplateDialect()), (thought, field), (inline, tags)]
    asked += [(called, dialect) for dialect in call_dialects]
    system, apart, content, *calls = render([_conversation(*one, mask) for one in asked])
    ways = zip(call_dialects, calls, strict=True)
    taken = next((way for way, text in ways if _holds(text, *_CALL_WORDS)), None)
    writes_apart = _holds(apart, _THOUGHT, _SAID)
    looks_inline = CLOSING in template_text and _holds(content, _THOUGHT, _SAID)
    return replace(
        _with_ids(render, mask, taken) if taken else call_dialects[0],
        calls=taken is not None,
        # Some templates pass over a system message without a word.
        system=_holds(system, _TOLD),
        reasoning_field=writes_apart,
        # Others write an empty block of reasoning before what they take for text.
        reasoning_in_content=looks_inline
        and (not writes_apart or content.count(CLOSING) == apart.count(CLOSING)),
        drops_reasoning=not writes_apart and _holds(content, _SAID) and _THOUGHT not in content,
    )


def _with_ids(render: Render, mask: ControlTokenMask, dialect: TemplateDialect) -> TemplateDialect:
    """Finds out which ids of calls a template refuses."""
    calls = [structs.replace(PROBE_CALL, id=call_id) for call_id in ("", "call_of_another_length")]
    turns = [Turn([_QUESTION, Message("assistant", "", tool_calls=(call,))]) for call in calls]
    nameless, long = render([_conversation(turn, dialect, mask) for turn in turns])
    return replace(
        dialect,
        needs_call_ids=not _holds(nameless, *_CALL_WORDS),
        nine_character_ids=not _holds(long, *_CALL_WORDS),
    )


def _conversation(turn: Turn, dialect: TemplateDialect, mask: ControlTokenMask) -> Conversation:
    written = TemplateMessages(dialect, mask, turn)
    return Conversation(written.messages(turn), written.tools, asks=False)


def _holds(text: Any, *words: str) -> bool:
    return isinstance(text, str) and all(word in text for word in words)
