"""A tuned model in memory: asks it in the words and within the limits of its training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.generation.engine import GenerationRequest
from kfp_llm_tuning.components.generation.engines import open_engine
from kfp_llm_tuning.components.generation.saved_model import read_provenance

if TYPE_CHECKING:
    from kfp_llm_tuning.components.dataset.tokenization import Tokens
    from kfp_llm_tuning.components.generation.engine import Engine
    from kfp_llm_tuning.components.generation.questions import Question

# The published limits, for a model whose own are not known.
_MAX_INPUT_TOKENS = 8192
_MAX_OUTPUT_TOKENS = 1024


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


class TunedModel:
    """A tuned model in memory.

    Attributes:
        engine: Runs it.
        provenance: Content of its tuning.json; empty for a model that another tool tuned.
        max_input_tokens: Limit of a prompt.
        max_output_tokens: Limit of an answer.
        stop_tokens: Tokens that end an answer.
    """

    def __init__(self, folder: Path, engine: str = "auto") -> None:
        """Loads the model.

        Args:
            folder: In Hugging Face layout; ``tuning.json`` says how prompts are written.
            engine: As of `open_engine`.

        Raises:
            UserError: If the folder holds no model, or the engine cannot run it.
        """
        from kfp_llm_tuning.components.dataset.prompts import prompt_formatter
        from kfp_llm_tuning.components.dataset.tokenization import Tokenization

        self.provenance = read_provenance(folder)
        self.engine: Engine = open_engine(folder, engine)
        tokenizer = self.engine.tokenizer
        self._formatter = prompt_formatter(tokenizer, self.provenance.get("prompt_format"))
        self.max_input_tokens = int(self.provenance.get("max_input_tokens", _MAX_INPUT_TOKENS))
        self.max_output_tokens = int(self.provenance.get("max_output_tokens", _MAX_OUTPUT_TOKENS))
        self._whole = Tokenization(tokenizer, self._formatter, sys.maxsize, sys.maxsize)
        self._cut = Tokenization(
            tokenizer, self._formatter, self.max_input_tokens, self.max_output_tokens
        )
        self.stop_tokens: Sequence[int] = self._cut.stop_token_ids

    def prompts(self, questions: Sequence[Question], *, cut: bool) -> list[Tokens]:
        """Writes prompts and turns them into tokens.

        Args:
            questions: What is asked.
            cut: Whether to cut a prompt to ``max_input_tokens``, as for training.

        Returns:
            The tokens of each.
        """
        tokenization = self._cut if cut else self._whole
        return tokenization.prompts(
            [self._prompt(asked) for asked in questions],
            [self._head(asked) for asked in questions],
        )

    def answer(self, questions: Sequence[Question], max_output_tokens: int = 0) -> list[Answer]:
        """Answers every question with the likeliest tokens.

        Args:
            questions: What is asked.
            max_output_tokens: Limit of an answer; 0 means the limit that the model was tuned with.

        Returns:
            One answer a question.
        """
        prompts = self.prompts(questions, cut=True)
        limit = max_output_tokens or self.max_output_tokens
        generations = self.engine.generate(
            [GenerationRequest(prompt.ids, limit, self.stop_tokens) for prompt in prompts]
        )
        texts = self.engine.decode([generation.tokens for generation in generations])
        return [
            Answer(text, generation.finished, prompt.truncated)
            for text, generation, prompt in zip(texts, generations, prompts, strict=True)
        ]

    def _prompt(self, asked: Question) -> str:
        if asked.is_chat:
            return self._formatter.chat_prompt(asked.messages, asked.context)
        return self._formatter.text_prompt(asked.messages[0].content)

    def _head(self, asked: Question) -> int | None:
        return self._formatter.head_length(asked.context) if asked.is_chat else None
