"""What a model learns from one row: the one place where rows become prompts and answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from msgspec import UNSET

from kfp_llm_tuning.components.data.rendering.prompts import (
    Example,
    PromptFormatter,
    RowRefusedError,
)
from kfp_llm_tuning.components.data.rows import ChatRow, Row, TextRow


class RowExample(NamedTuple):
    """One example of a row.

    Attributes:
        example: Prompt and answer.
        path: Where in the row the answer stands.
        head: Characters at the prompt's start (a conversation's context) that stay when an
            over-long prompt loses its oldest part; None where the start is what stays (text).
    """

    example: Example
    path: str
    head: int | None = None


def row_examples(
    formatter: PromptFormatter, row: Row, default_context: str
) -> Iterator[RowExample]:
    """Writes what a model learns from a row.

    Args:
        formatter: Writes it.
        row: A text gives one example; a conversation one for each assistant message, with the whole
            history before it.
        default_context: Context of a conversation that has none of its own.

    Yields:
        The examples, in the row's order.

    Raises:
        RowRefusedError: If the row cannot be written for the model, with the place in the row.
        UserError: If no row can.
    """
    if isinstance(row, TextRow):
        path = "output_text"
        with _named(path):
            example = formatter.text_example(row.input_text, row.output_text)
        yield RowExample(example, path)
        return
    context = _context_of(row, default_context)
    for end in range(2, len(row.messages) + 1, 2):
        path = f"messages[{end - 1}].content"
        with _named(path):
            example = formatter.chat_example(row.messages[:end], context)
        yield RowExample(example, path, formatter.head_length(context))


def _context_of(row: ChatRow, default_context: str) -> str:
    """Gives what a conversation's assistant is told beforehand."""
    return default_context if row.context is UNSET else str(row.context)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Tells where in a row the answer stands that cannot be written."""
    try:
        yield
    except RowRefusedError as error:
        raise RowRefusedError(*(replace(each, where=path) for each in error.problems)) from error
