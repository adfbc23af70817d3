"""Messages of /v1/chat/completions, made into a conversation as training knows it.

OpenAI's API allows more than models are tuned on. Instructions at the beginning (system, developer)
become the context, joined by a blank line; so do messages that one side says in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from kfp_llm_tuning.components.data.rows import Message
from kfp_llm_tuning.components.generation.instances import Instance
from kfp_llm_tuning.components.serving.request_fields import Fields, shown

_INSTRUCTIONS = "instructions"
_SPEAKERS = {
    "system": _INSTRUCTIONS,
    "developer": _INSTRUCTIONS,
    "user": "user",
    "assistant": "assistant",
}
_NO_TOOLS = "this server's models call no tools."
_REFUSED = {"tool_calls": _NO_TOOLS, "function_call": _NO_TOOLS, "audio": "models hear nothing."}
# What clients send back with an answer they got, and what names a speaker: the model sees neither.
_UNSEEN = ("name", "refusal", "annotations")
_BETWEEN = "\n\n"


class _Turn(NamedTuple):
    speaker: str
    content: str


def read_messages(fields: Fields) -> Instance:
    """Takes the messages.

    Args:
        fields: The request; takes note of mistakes.

    Returns:
        The conversation; senseless where mistakes were noted.
    """
    if fields.take("messages") is None:
        fields.complain("messages", "is missing.", "a list of messages")
    messages = fields.objects("messages")
    read = [_read(message) for message in messages]
    turns = [
        _Turn(speaker, _BETWEEN.join(one.content for one in group))
        for speaker, group in groupby(read, key=lambda one: one.speaker)
    ]
    context = turns.pop(0).content if turns and turns[0].speaker == _INSTRUCTIONS else ""
    if all(speaker for speaker, _ in turns):
        _check_order(fields, messages, read, turns)
    conversation = tuple(
        Message("user" if turn.speaker == "user" else "assistant", turn.content) for turn in turns
    )
    return Instance(conversation, context, is_chat=True)


def _check_order(
    fields: Fields, messages: Sequence[Fields], read: Sequence[_Turn], turns: Sequence[_Turn]
) -> None:
    speakers = [one.speaker for one in read]
    if fields.take("messages") == [] or (read and not turns):
        fields.complain("messages", "there is no message of the user's.", "a user message, last")
    elif turns and speakers[-1] != "user":
        what = "the last message must be the user's: an answer is not continued."
        messages[-1].complain("role", what, "user")
    elif turns and turns[0].speaker == "assistant":
        first = messages[speakers.index("assistant")]
        first.complain("role", "the conversation must begin with the user.", "user")
    for message, before, speaker in zip(messages[1:], speakers, speakers[1:], strict=False):
        if speaker == _INSTRUCTIONS != before:
            message.complain("role", "instructions must stand before the conversation.")


def _read(fields: Fields) -> _Turn:
    role = fields.text("role")
    speaker = _SPEAKERS.get(role, "")
    if role in ("tool", "function"):
        fields.complain("role", f"{shown(role)}: {_NO_TOOLS}", ", ".join(_SPEAKERS))
    elif role and not speaker:
        fields.complain("role", f"{shown(role)} is nobody.", ", ".join(_SPEAKERS))
    content = _content(fields, may_be_empty=speaker == "assistant")
    fields.refuse(_REFUSED, harmless=([],))
    fields.ignore(_UNSEEN)
    fields.finish()
    return _Turn(speaker, content)


def _content(fields: Fields, may_be_empty: bool) -> str:
    if not isinstance(fields.take("content"), list):
        # A model may have answered nothing, and clients send that back as history.
        default = "" if may_be_empty else None
        return fields.text("content", default=default, empty=may_be_empty)
    if not may_be_empty and all(_is_empty(part) for part in fields.take("content")):
        fields.complain("content", "holds no text.", "text that is not empty")
    return "".join(_part(part) for part in fields.objects("content"))


def _is_empty(part: Any) -> bool:
    return isinstance(part, dict) and part.get("text") == ""


def _part(fields: Fields) -> str:
    kind = fields.text("type")
    if kind not in ("", "text"):
        what = f"{shown(kind)}: this server's models read text only."
        fields.complain("type", what, "text")
        return ""
    text = fields.text("text")
    fields.ignore(["prompt_cache_breakpoint"])
    fields.finish()
    return text
