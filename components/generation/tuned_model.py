"""A tuned model in memory: asks it in the words and within the limits of its training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.errors import Problem
from kfp_llm_tuning.components.data.rendering.prompts import RowRefusedError, Turn
from kfp_llm_tuning.components.generation.decoded_text import known_tokens
from kfp_llm_tuning.components.generation.engine import GenerationRequest
from kfp_llm_tuning.components.generation.engines import open_engine
from kfp_llm_tuning.components.generation.infilling import Infilling, infilling_of
from kfp_llm_tuning.components.models.saved_model import read_provenance

if TYPE_CHECKING:
    from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization, Tokens
    from kfp_llm_tuning.components.generation.engine import Engine
    from kfp_llm_tuning.components.generation.instances import Instance

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
        stop_text: Text that ends an answer, and is no part of it; empty where tokens do that.
    """

    def __init__(self, folder: Path, engine: str = "auto") -> None:
        """Loads the model.

        Args:
            folder: In Hugging Face layout; ``tuning.json`` says how prompts are written.
            engine: As of `open_engine`.

        Raises:
            UserError: If the folder holds no model, or the engine cannot run it.
        """
        from kfp_llm_tuning.components.data.rendering.formatters import prompt_formatter
        from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization

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
        self.stop_text = self._cut.stop_text
        self._token_texts: dict[int, str] = {}

    def prompts(self, instances: Sequence[Instance], *, cut: bool) -> list[Tokens]:
        """Writes prompts and turns them into tokens.

        Args:
            instances: What is asked.
            cut: Whether to cut a prompt to ``max_input_tokens``, as for training.

        Returns:
            The tokens of each.

        Raises:
            UserError: For every one that cannot be written for the model.
        """
        tokenization = self._cut if cut else self._whole
        return tokenization.prompts(
            self._written(instances),
            [self._head(instance) for instance in instances],
        )

    def infilling_prompt(self, prefix: str, suffix: str) -> Tokens:
        """Asks for the code between two pieces of code, as no training here wrote it.

        Args:
            prefix: Code before the gap.
            suffix: Code after the gap.

        Returns:
            The tokens, never cut; of a model that has `infilling`.
        """
        from kfp_llm_tuning.components.data.rendering.control_tokens import ControlTokens

        assert self.infilling is not None
        mark = ControlTokens(self.engine.tokenizer, self.infilling.prompt("", "")).mark
        text = self.infilling.prompt(mark(prefix), mark(suffix))
        [tokens] = self._as_it_stands.prompts([text], [None])
        return tokens

    @property
    def has_template(self) -> bool:
        """Whether the model's own chat template writes its prompts."""
        return self._formatter.prompt_format != "plain"

    @cached_property
    def infilling(self) -> Infilling | None:
        """How the model is instance to fill a gap; None where it never learned to."""
        return infilling_of(self.engine.tokenizer)

    @cached_property
    def vocabulary_size(self) -> int:
        """Number of tokens that the tokenizer knows."""
        return len(self.engine.tokenizer)

    @cached_property
    def longest_token(self) -> int:
        """Most characters that one token stands for: a text has no fewer tokens than that makes."""
        return max(map(len, self.engine.tokenizer.get_vocab()))

    @cached_property
    def byte_tokens(self) -> frozenset[int]:
        """Tokens that are single bytes of characters that the vocabulary lacks (byte fallback)."""
        vocabulary = self.engine.tokenizer.get_vocab()
        names = (f"<0x{byte:02X}>" for byte in range(256))
        return frozenset(vocabulary[name] for name in names if name in vocabulary)

    def knows(self, token: int) -> bool:
        """Tells whether the tokenizer knows a token; a model may have more of them."""
        return token in known_tokens(self.engine.tokenizer)

    def token_text(self, token: int) -> str:
        """Writes one token as it reads within a text; a special token by its name.

        Args:
            token: Its id.

        Returns:
            The text; bytes that are no whole character are replaced. Of a token that the tokenizer
            does not know its id, as vLLM writes it: ``token_id:151700``.
        """
        if not self.knows(token):
            return f"token_id:{token}"
        if token not in self._token_texts:
            # Some tokenizers drop the blank before a text's first word: the second one keeps it.
            first, both = self.engine.decode([[token], [token, token]])
            name = both[len(first) :] or self.engine.tokenizer.convert_ids_to_tokens(token)
            self._token_texts[token] = str(name)
        return self._token_texts[token]

    def decode(self, answers: Sequence[Sequence[int]]) -> list[str]:
        """Turns answers into text; of special tokens those that the template writes within."""
        return self.engine.decode(answers, self._cut.inner_token_ids)

    def answer(self, instances: Sequence[Instance], max_output_tokens: int = 0) -> list[Answer]:
        """Answers every instance with the likeliest tokens.

        Args:
            instances: What is asked.
            max_output_tokens: Limit of an answer; 0 means the limit that the model was tuned with.

        Returns:
            One answer an instance.
        """
        prompts = self.prompts(instances, cut=True)
        limit = max_output_tokens or self.max_output_tokens
        generations = self.engine.generate(
            [GenerationRequest(prompt.ids, limit, self.stop_tokens) for prompt in prompts]
        )
        texts = self.decode([generation.tokens for generation in generations])
        ended = map(self._cut.before_stop_text, texts)
        return [
            Answer(text, generation.finished or marked, prompt.truncated)
            for (text, marked), generation, prompt in zip(ended, generations, prompts, strict=True)
        ]

    @cached_property
    def _as_it_stands(self) -> Tokenization:
        from kfp_llm_tuning.components.data.rendering.plain import PlainFormatter
        from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization

        tokenizer = self.engine.tokenizer
        return Tokenization(tokenizer, PlainFormatter(tokenizer), sys.maxsize, sys.maxsize)

    def _written(self, instances: Sequence[Instance]) -> list[str]:
        texts: list[str] = []
        problems: list[Problem] = []
        for instance in instances:
            try:
                texts.append(self._prompt(instance))
            except RowRefusedError as error:
                problems += (
                    replace(one, where=instance.where or one.where) for one in error.problems
                )
        if problems:
            raise RowRefusedError(*problems)
        return texts

    def _prompt(self, instance: Instance) -> str:
        said = Turn(instance.messages, instance.context, instance.is_chat, instance.tools)
        return self._formatter.prompt(said)

    def _head(self, instance: Instance) -> int | None:
        if not instance.is_chat:
            return None
        return self._formatter.head_length(instance.context, instance.tools)
