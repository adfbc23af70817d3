"""Counts tokens as the encoder will: the same prompts, the same tokenizer, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from kfp_llm_tuning.components.data.rendering.prompts import prompt_formatter
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization
from kfp_llm_tuning.components.data.rows import Row, TextRow, assistant_messages
from kfp_llm_tuning.components.models.tokenizer import load_tokenizer
from kfp_llm_tuning.components.tuning.base_models import tokenizer_folder
from kfp_llm_tuning.components.tuning.model_references import ModelReference
from kfp_llm_tuning.components.validation.findings import Finding, Severity
from kfp_llm_tuning.components.validation.scan import Place

_BATCH = 256
# All rows are counted, for the histogram, while they are not larger than this together: about
# five seconds of a fast tokenizer. Of further rows only those that may exceed a limit are counted.
COUNTED_BYTES = 32 * 2**20
# Larger than any text: the whole length is wanted, not the truncated one.
_NO_LIMIT = 2**31


@dataclass
class TokenCounts:
    """Lengths in tokens of one dataset.

    Attributes:
        inputs: One a counted example: its prompt, of chat the last and longest.
        outputs: One a counted completion.
        uncounted: Examples that were not counted since their bytes are within the limits.
        truncated: A warning for every text that will be cut.
    """

    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    uncounted: int = 0
    truncated: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class _Texts:
    """What is counted of one example."""

    place: Place
    prompt: str
    completions: list[str]
    is_chat: bool


class TokenCounter:
    """Counts the tokens of one dataset for one model; collects rows into batches."""

    def __init__(self, model: ModelReference, default_context: str = "") -> None:
        """Loads the tokenizer.

        Args:
            model: Its tokenizer, template and limits are used.
            default_context: Context of conversations that have none.

        Raises:
            UserError: If the tokenizer or its template cannot be used.
            ImportError: If transformers is not installed.
        """
        tokenizer: Any = load_tokenizer(tokenizer_folder(model))
        self._model = model
        self._default_context = default_context
        self._formatter = prompt_formatter(tokenizer)
        self._tokens = Tokenization(tokenizer, self._formatter, _NO_LIMIT, _NO_LIMIT)
        # Tokens that the format adds, whatever the text: at most what an empty prompt has.
        self._overhead = len(
            self._tokens.prompts([self._formatter.text_prompt("a")], [None])[0].ids
        )
        backend = getattr(tokenizer, "backend_tokenizer", None)
        # A normaliser may turn one byte into several; without it every token is a byte or more.
        self._bytes_bound_tokens = backend is not None and backend.normalizer is None
        self._batch: list[_Texts] = []
        self._counted_bytes = 0
        self._counts = TokenCounts()

    def add(self, place: Place, row: Row) -> None:
        """Takes one example; counts when a batch is full.

        Raises:
            UserError: If the model's template refuses the example.
        """
        texts = self._render(place, row)
        size = len(texts.prompt.encode())
        longest = max(len(completion.encode()) for completion in texts.completions)
        if self._counted_bytes > COUNTED_BYTES and self._surely_fits(size, longest):
            self._counts.uncounted += 1
            return
        self._counted_bytes += size + sum(map(len, texts.completions))
        self._batch.append(texts)
        if len(self._batch) == _BATCH:
            self._count_batch()

    def finish(self) -> TokenCounts:
        """Counts what is left, and gives the counts of this dataset; the next starts anew."""
        self._count_batch()
        counts, self._counts, self._counted_bytes = self._counts, TokenCounts(), 0
        return counts

    def _render(self, place: Place, row: Row) -> _Texts:
        end = self._formatter.end
        if isinstance(row, TextRow):
            prompt = self._formatter.text_prompt(row.input_text)
            return _Texts(place, prompt, [row.output_text + end], is_chat=False)
        context = self._default_context if row.context is UNSET else str(row.context)
        prompt = self._formatter.chat_prompt(row.messages[:-1], context)
        answers = [answer + end for answer in assistant_messages(row)]
        return _Texts(place, prompt, answers, is_chat=True)

    def _surely_fits(self, prompt_bytes: int, completion_bytes: int) -> bool:
        return (
            self._bytes_bound_tokens
            and prompt_bytes + self._overhead <= self._model.max_input_tokens
            and completion_bytes + self._overhead <= self._model.max_output_tokens
        )

    def _count_batch(self) -> None:
        batch, self._batch = self._batch, []
        prompts = self._tokens.prompts([texts.prompt for texts in batch], [None] * len(batch))
        flat = [completion for texts in batch for completion in texts.completions]
        ends = len(self._tokens.end_ids)
        completions = iter([len(tokens.ids) - ends for tokens in self._tokens.completions(flat)])
        for texts, prompt in zip(batch, prompts, strict=True):
            outputs = [next(completions) for _ in texts.completions]
            self._counts.inputs.append(len(prompt.ids))
            self._counts.outputs += outputs
            self._counts.truncated += self._find_truncated(texts, len(prompt.ids), outputs)

    def _find_truncated(self, texts: _Texts, prompt: int, outputs: list[int]) -> Iterator[Finding]:
        limit = self._model.max_input_tokens
        if prompt > limit:
            path = "messages" if texts.is_chat else "input_text"
            yield _truncated("truncated_input", "the input", texts.place, path, prompt, limit)
        limit = self._model.max_output_tokens
        for turn, tokens in enumerate(outputs):
            if tokens > limit:
                path = f"messages[{2 * turn + 1}].content" if texts.is_chat else "output_text"
                yield _truncated("truncated_output", "the output", texts.place, path, tokens, limit)


def _truncated(kind: str, name: str, place: Place, path: str, tokens: int, limit: int) -> Finding:
    return Finding(
        kind,
        f"{name} has {tokens:,} tokens: {tokens - limit:,} are cut off.",
        f"at most {limit:,} tokens",
        severity=Severity.WARNING,
        line=place.line,
        path=".".join(part for part in (place.path, path) if part),
    )
