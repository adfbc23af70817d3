"""Asks a tuned model: prompts are written and cut as they were for its training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.upload.run_content import read_provenance

if TYPE_CHECKING:
    from kfp_llm_tuning.components.dataset.prompts import PromptFormatter
    from kfp_llm_tuning.components.validation.rows import Message

# The spellings of a text prompt: datasets', and the two of the published endpoint's clients.
_TEXT_FIELDS = ("input_text", "prompt", "content")
_AUTHORS = ("user", "assistant")
# The published limits, for a model whose own are not known.
_MAX_INPUT_TOKENS = 8192
_MAX_OUTPUT_TOKENS = 1024


@dataclass(frozen=True)
class Question:
    """What the model is asked.

    Attributes:
        messages: The conversation so far, the user's message last; one message for plain text.
        context: What the assistant is told beforehand.
        is_chat: Whether it is a conversation; a plain text is written as training wrote it.
    """

    messages: tuple[Message, ...]
    context: str = ""
    is_chat: bool = False


@dataclass(frozen=True)
class Answer:
    """What the model answered.

    Attributes:
        content: The text.
        finished: Whether the model ended by itself; False where the limit of tokens cut it.
        input_truncated: Whether the prompt was longer than the model was tuned for.
    """

    content: str
    finished: bool
    input_truncated: bool


def text_question(text: str) -> Question:
    """Makes a question of plain text."""
    from kfp_llm_tuning.components.validation.rows import Message

    return Question((Message("user", text),))


def parse_questions(lines: Iterable[bytes], where: str) -> list[Question]:
    """Reads questions from JSONL; rows of a training or evaluation set are questions too.

    Args:
        lines: Objects with ``input_text``, ``prompt`` or ``content``, or with ``messages`` and an
            optional ``context``. An assistant's message at the end is the answer, and left out;
            other fields are ignored. Blank lines are skipped.
        where: Name of the file, for messages.

    Returns:
        One question a line that is not blank.

    Raises:
        UserError: With every bad line, or if there is none at all.
    """
    questions: list[Question] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            questions.append(question(json.loads(line.decode("utf-8-sig"))))
        except (ValueError, UserError) as error:
            problems.append(Problem(str(error), f"{where}, line {number}"))
    if not questions and not problems:
        problems.append(Problem("there is nothing to predict.", where))
    raise_all(problems)
    return questions


def question(row: Any) -> Question:
    """Makes a question of one row.

    Args:
        row: As a line of ``parse_questions``.

    Returns:
        The question.

    Raises:
        UserError: If the row asks nothing.
    """
    from kfp_llm_tuning.components.validation.rows import Message

    if not isinstance(row, dict):
        raise UserError(Problem("not a JSON object.", allowed=_allowed()))
    if "messages" not in row:
        texts = [row[name] for name in _TEXT_FIELDS if isinstance(row.get(name), str)]
        if not texts:
            raise UserError(Problem("no text to answer.", allowed=_allowed()))
        return text_question(texts[0])
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
    return Question(turns, context, is_chat=True)


def _allowed() -> str:
    return f"an object with {', '.join(_TEXT_FIELDS)} or messages"


class Predictor:
    """A tuned model in memory."""

    def __init__(self, folder: Path) -> None:
        """Loads the model.

        Args:
            folder: In Hugging Face layout; ``tuning.json`` says how prompts are written.

        Raises:
            UserError: If the folder holds no model.
        """
        provenance = read_provenance(folder)

        from kfp_llm_tuning.components.dataset.prompts import prompt_formatter
        from kfp_llm_tuning.components.evaluation.engine import TransformersEngine

        self._engine = TransformersEngine(folder)
        self._formatter: PromptFormatter = prompt_formatter(
            self._engine.tokenizer, provenance.get("prompt_format")
        )
        self._max_input_tokens = int(provenance.get("max_input_tokens", _MAX_INPUT_TOKENS))
        self.max_output_tokens = int(provenance.get("max_output_tokens", _MAX_OUTPUT_TOKENS))

    def answer(self, questions: Sequence[Question], max_output_tokens: int = 0) -> list[Answer]:
        """Answers every question with the likeliest tokens.

        Args:
            questions: What is asked.
            max_output_tokens: Limit of an answer; 0 means the limit that the model was tuned with.

        Returns:
            One answer a question.
        """
        from kfp_llm_tuning.components.dataset.tokenization import Tokenization

        tokenizer = Tokenization(
            self._engine.tokenizer, self._formatter, self._max_input_tokens, self.max_output_tokens
        )
        prompts = tokenizer.prompts(
            [self._prompt(asked) for asked in questions],
            [self._head(asked) for asked in questions],
        )
        generations = self._engine.generate(
            [prompt.ids for prompt in prompts],
            max_output_tokens or self.max_output_tokens,
            tokenizer.stop_token_ids,
        )
        return [
            Answer(
                self._engine.tokenizer.decode(generation.tokens, skip_special_tokens=True),
                generation.finished,
                prompt.truncated,
            )
            for prompt, generation in zip(prompts, generations, strict=True)
        ]

    def _prompt(self, asked: Question) -> str:
        if asked.is_chat:
            return self._formatter.chat_prompt(asked.messages, asked.context)
        return self._formatter.text_prompt(asked.messages[0].content)

    def _head(self, asked: Question) -> int | None:
        return self._formatter.head_length(asked.context) if asked.is_chat else None
