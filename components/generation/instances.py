"""The instances of a prediction: plain texts or conversations, as rows of a dataset or a file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.documents import parse_json
from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all

if TYPE_CHECKING:
    from kfp_llm_tuning.components.data.reading.lines import LongLine
    from kfp_llm_tuning.components.data.rows import Message

# The spellings of a text prompt: datasets', and the two of the published endpoint's clients.
_TEXT_FIELDS = ("input_text", "prompt", "content")
_AUTHORS = ("user", "assistant")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Instance:
    """What the model is asked.

    Attributes:
        messages: The conversation so far, the message that asks last; one message for plain text.
        context: What the assistant is told beforehand.
        is_chat: Whether it is a conversation; a plain text is written as training wrote it.
        tools: Definitions of the tools that may be called.
    """

    messages: tuple[Message, ...]
    context: str = ""
    is_chat: bool = False
    tools: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Refuses what is no text.

        Raises:
            UserError: If half of a surrogate pair stands in it, as JSON and command lines allow.
        """
        for text in (self.context, *(message.content for message in self.messages)):
            if not text.isascii() and _SURROGATE.search(text):
                what = "half of a surrogate pair is no character."
                raise UserError(Problem(what, allowed="whole characters"))


def text_instance(text: str) -> Instance:
    """Makes an instance of plain text."""
    from kfp_llm_tuning.components.data.rows import Message

    return Instance((Message("user", text),))


def parse_instances(lines: Iterable[bytes | LongLine], where: str) -> list[Instance]:
    """Reads instances from JSONL; rows of a training or evaluation set are instances too.

    Args:
        lines: As ``data.reading.lines.read_lines`` gives them: objects with ``input_text``,
            ``prompt`` or ``content``, or with ``messages`` and an optional ``context``. An
            assistant's message at the end is the answer, and left out; other fields are ignored.
            Blank lines are skipped.
        where: Name of the file, for messages.

    Returns:
        One instance a line that is not blank.

    Raises:
        UserError: With every bad line, or if there is none at all.
    """
    instances: list[Instance] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        try:
            if not isinstance(line, bytes):
                raise UserError(Problem(f"is not read: {line.size:,} bytes are too much."))
            if line.strip():
                instances.append(instance_from_row(parse_json(line.decode("utf-8-sig"), "")))
        except (UnicodeDecodeError, UserError) as error:
            problems.append(Problem(str(error), f"{where}, line {number}"))
    if not instances and not problems:
        problems.append(Problem("there is nothing to predict.", where))
    raise_all(problems)
    return instances


def instance_from_row(row: Any) -> Instance:
    """Makes an instance of one row.

    Args:
        row: As a line of ``parse_instances``.

    Returns:
        The instance.

    Raises:
        UserError: If the row asks nothing, or holds half of a character.
    """
    from kfp_llm_tuning.components.data.rows import Message

    if not isinstance(row, dict):
        raise UserError(Problem("not a JSON object.", allowed=_allowed()))
    if "messages" not in row:
        texts = [row[name] for name in _TEXT_FIELDS if isinstance(row.get(name), str)]
        if not texts:
            raise UserError(Problem("no text to answer.", allowed=_allowed()))
        return text_instance(texts[0])
    messages = row["messages"]
    context = row.get("context") or ""
    if not isinstance(messages, list) or not isinstance(context, str):
        raise UserError(Problem("no conversation.", allowed=_allowed()))
    if not all(isinstance(m, dict) and isinstance(m.get("content"), str) for m in messages):
        raise UserError(Problem("a message without content.", allowed=_allowed()))
    if messages and messages[-1].get("author") == "assistant":
        messages = messages[:-1]
    expected = [_AUTHORS[index % 2] for index in range(len(messages))]
    if not messages or [m.get("author") for m in messages] != expected or len(messages) % 2 == 0:
        raise UserError(Problem("authors must take turns: user, assistant, ..., user."))
    turns = tuple(Message(m["author"], m["content"]) for m in messages)
    return Instance(turns, context, is_chat=True)


def _allowed() -> str:
    return f"an object with {', '.join(_TEXT_FIELDS)} or messages"
