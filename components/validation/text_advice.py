"""What users' texts spell that means something to the model: control tokens, ends, reasoning."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from kfp_llm_tuning.components.data.reading.field_names import list_names, quote
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.rendering.prompts import PromptFormatter
from kfp_llm_tuning.components.data.rendering.reasoning import thinks
from kfp_llm_tuning.components.data.rows import Message, Row, TextRow


class TextAdvice:
    """Looks at the texts of one dataset for one model.

    Attributes:
        expects_reasoning: Whether answers of this dataset have reasoning.
    """

    def __init__(self, formatter: PromptFormatter, stop_text: str) -> None:
        """Remembers what is looked for.

        Args:
            formatter: What writes the dataset for the model.
            stop_text: The model's end-of-turn marker where it is no token; else empty.
        """
        self.expects_reasoning = formatter.prompt_format == "chat_template_reasoning"
        self._formatter = formatter
        self._stop_text = stop_text

    def of_row(self, place: Place, row: Row) -> Iterator[Finding]:
        """Looks at one example.

        Args:
            place: Where it stands.
            row: The example.

        Yields:
            Warnings.
        """
        for field, message in _messages(row):
            for kind, what, fix in self._of_message(message):
                yield Finding(kind, what, "", fix, Severity.WARNING).at(place, field)

    def _of_message(self, message: Message) -> Iterator[tuple[str, str, str]]:
        spelled = self._formatter.spelled_tokens(message)
        if spelled:
            what = (
                f"the text spells {list_names(spelled)}, which the model has as control tokens: "
                "it is read as text."
            )
            yield "control_token", what, "Take out what is no part of the text itself."
        if self._stop_text and self._stop_text in message.content:
            what = (
                f"the text holds {quote(self._stop_text)}, with which this model's template ends a "
                "message, and for which its tokenizer has no token: the model cannot tell it from "
                "an end."
            )
            yield "end_marker", what, "Take it out, or choose a model that has a token for it."
        is_answer = message.author == "assistant" and message.learned
        if self.expects_reasoning and is_answer and not thinks(message):
            what = "the answer has no reasoning, which others have: an empty one is trained."
            yield "no_reasoning", what, ""


def _messages(row: Row) -> Iterator[tuple[str, Message]]:
    """Lists what a row says, with the field where it stands."""
    if isinstance(row, TextRow):
        yield "input_text", Message("user", row.input_text)
        yield "output_text", Message("assistant", row.output_text)
        return
    if isinstance(row.context, str):
        yield "context", Message("user", row.context)
    if row.tools:
        yield "tools", Message("user", msgspec.json.encode(row.tools).decode())
    for position, message in enumerate(row.messages):
        yield row.path(position), message
