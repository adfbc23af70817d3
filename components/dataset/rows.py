"""Rows of a JSONL dataset, text examples or conversations: read as a stream, checked one by one."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import IO, Literal

import msgspec
from msgspec import UNSET, UnsetType

from kfp_llm_tuning.components.common.errors import Problem, UserError

# Every bad row is counted; so many are told in full.
MAX_PROBLEMS_LISTED = 20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class TextRow(msgspec.Struct, frozen=True):
    """One text example; further fields are ignored.

    Attributes:
        input_text: What the model is given.
        output_text: What it shall answer.
    """

    input_text: str
    output_text: str


class Message(msgspec.Struct, frozen=True):
    """One message of a conversation.

    Attributes:
        author: Who says it.
        content: What is said.
    """

    author: Literal["user", "assistant"]
    content: str


class ChatRow(msgspec.Struct, frozen=True):
    """One conversation; further fields are ignored.

    Attributes:
        messages: Alternating, from the user's first to the assistant's last.
        context: What the assistant is told beforehand; None where the row has none. An empty string
            is a context too: it overrides the default by nothing.
    """

    messages: list[Message]
    context: str | None = None


class _TextList(msgspec.Struct):
    """The other form of a line: a list of text examples."""

    data: list[TextRow]


class _Keys(msgspec.Struct):
    """Which of the telling keys a line has; their values are not looked at."""

    data: msgspec.Raw | UnsetType = UNSET
    input_text: msgspec.Raw | UnsetType = UNSET
    messages: msgspec.Raw | UnsetType = UNSET


_decode_keys = msgspec.json.Decoder(_Keys).decode
_decode_text = msgspec.json.Decoder(TextRow).decode
_decode_text_list = msgspec.json.Decoder(_TextList).decode
_decode_chat = msgspec.json.Decoder(ChatRow).decode


class RowReader:
    """Iterates over the rows of a JSONL file; bad rows are kept as problems, not yielded.

    The first readable line says what the file holds: conversations where it has ``messages``, text
    examples otherwise. A byte order mark, CRLF line ends, blank lines and a missing last newline
    are accepted. Memory stays flat: one line is held at a time.

    Attributes:
        is_chat: Whether the file holds conversations; None until a line has told.
        problems: The first bad rows, `MAX_PROBLEMS_LISTED` at most.
        problem_count: How many bad rows there are.
        byte_count: Size of what was read, after decompression.
    """

    def __init__(self, stream: IO[bytes], where: str) -> None:
        """Reads nothing yet.

        Args:
            stream: The decompressed file.
            where: Its URI, for the messages.
        """
        self.is_chat: bool | None = None
        self.problems: list[Problem] = []
        self.problem_count = 0
        self.byte_count = 0
        self._stream = stream
        self._where = where
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Digest of what was read, after decompression: the same for x.jsonl and x.jsonl.gz."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[tuple[int, TextRow | ChatRow]]:
        """Yields each good row with its line number, which starts at 1.

        Rows of one ``data`` list share the number of their line.

        Raises:
            UserError: If the file breaks off or is damaged (compressed files).
        """
        for number, line in enumerate(self._lines(), start=1):
            if not line.strip():
                continue
            try:
                rows = self._rows_of(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._keep_problem(number, *_explain(error))
                continue
            for index, row in enumerate(rows):
                mistake = find_mistake(row)
                if mistake:
                    field = f"data[{index}]." if len(rows) > 1 else ""
                    self._keep_problem(number, mistake[0], field + mistake[1])
                else:
                    yield number, row

    def raise_problems(self) -> None:
        """Ends the reading: raises where any row was bad.

        Raises:
            UserError: With every listed problem and the count of the others.
        """
        unlisted = self.problem_count - len(self.problems)
        if unlisted:
            raise UserError(*self.problems, Problem(f"and {unlisted} more bad rows.", self._where))
        if self.problems:
            raise UserError(*self.problems)

    def _lines(self) -> Iterator[bytes]:
        try:
            for number, line in enumerate(self._stream):
                self._digest.update(line)
                self.byte_count += len(line)
                yield line.removeprefix(_BYTE_ORDER_MARK) if number == 0 else line
        except (EOFError, OSError, zlib.error) as error:
            raise UserError(
                Problem(
                    f"the file breaks off or is damaged: {error}",
                    self._where,
                    fix="Write or upload it again.",
                )
            ) from error

    def _rows_of(self, line: bytes) -> list[TextRow] | list[ChatRow]:
        if self.is_chat is None:
            self.is_chat = _decode_keys(line).messages is not UNSET
        if self.is_chat:
            return [_decode_chat(line)]
        try:
            return [_decode_text(line)]
        except msgspec.ValidationError:
            keys = _decode_keys(line)
            if keys.data is UNSET or keys.input_text is not UNSET:
                raise
        return _decode_text_list(line).data

    def _keep_problem(self, line: int, what: str, field: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS_LISTED:
            where = f"{self._where}, line {line}" + (f", field {field}" if field else "")
            self.problems.append(Problem(what, where))


def find_mistake(row: TextRow | ChatRow) -> tuple[str, str] | None:
    """Finds what types alone do not tell.

    Args:
        row: A row whose fields have the right types.

    Returns:
        What is wrong, and the path of the field; None where nothing is.
    """
    if isinstance(row, TextRow):
        return None if row.output_text else ("is empty: there is nothing to learn.", "output_text")
    if not row.messages:
        return "the conversation has no messages.", "messages"
    for index, message in enumerate(row.messages):
        expected = "assistant" if index % 2 else "user"
        if message.author != expected:
            what = f"the author is {message.author} where it is the {expected}'s turn."
            return what, f"messages[{index}].author"
        if expected == "assistant" and not message.content:
            return "is empty: there is nothing to learn.", f"messages[{index}].content"
    if len(row.messages) % 2:
        return "the conversation ends with the user, not the assistant.", "messages"
    return None


def _explain(error: ValueError) -> tuple[str, str]:
    """Splits a decoder's message into what is wrong and the path of the field."""
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8: {error.reason} at byte {error.start}.", ""
    what, _, path = str(error).partition(" - at `$")
    return f"{what.rstrip('.')}.", path.rstrip("`").lstrip(".")
