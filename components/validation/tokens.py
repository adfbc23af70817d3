"""Renders rows and counts their tokens with the code that preprocessing and encoding use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.reading.dataset_formatter import formatter_for_dataset
from kfp_llm_tuning.components.data.reading.findings import Finding, Severity, refused_row
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.rendering.examples import RowExample, RowRenderer
from kfp_llm_tuning.components.data.rendering.prompts import (
    PromptFormatter,
    Turn,
    UnusableTemplateError,
)
from kfp_llm_tuning.components.data.rendering.tokenization import Tokenization
from kfp_llm_tuning.components.data.rows import Message, Row
from kfp_llm_tuning.components.models.model_reference import ModelReference
from kfp_llm_tuning.components.validation.lengths import LengthCounts
from kfp_llm_tuning.components.validation.text_advice import TextAdvice

_BATCH = 256
# Tokens take a hundred times the bytes of their text: of long ones fewer are counted at a time.
_BATCH_BYTES = 4 * 2**20
# All rows are counted, for the histogram, while they are not larger than this together: about
# five seconds of a fast tokenizer. Of further rows only those that may exceed a limit are counted.
COUNTED_BYTES = 32 * 2**20
# Larger than any text: the whole length is wanted, not the truncated one.
_NO_LIMIT = 2**31
_SHORTEST = Turn([Message("user", "a")], is_chat=False)


@dataclass
class TokenCounts:
    """What is found out of one dataset by rendering it.

    Attributes:
        inputs: One a counted example: its prompt, of chat the last and longest.
        outputs: One a counted completion.
        uncounted: Examples that were not counted since their bytes are within the limits.
        rewritten: Answers whose prompt does not begin with the answer before it and what that was
            asked: each is read in a pass of its own.
        has_reasoning: Whether any answer has reasoning that the model's template knows.
    """

    inputs: LengthCounts = field(default_factory=LengthCounts)
    outputs: LengthCounts = field(default_factory=LengthCounts)
    uncounted: int = 0
    rewritten: int = 0
    has_reasoning: bool = False


def compare_reasoning(
    training: TokenCounts | None, evaluation: TokenCounts | None
) -> list[Finding]:
    """Warns where the answers of one set have reasoning and those of the other have none.

    Args:
        training: Of the training set; None where nothing was counted.
        evaluation: Of the evaluation set; None where there is none, or nothing was counted.
    """
    if not training or not evaluation or training.has_reasoning == evaluation.has_reasoning:
        return []
    what = (
        "answers of one set begin with reasoning and those of the other do not: the model is "
        "evaluated on another kind of prompt than it is trained on."
    )
    fix = "Give reasoning to the answers of both sets, or to none."
    return [Finding("reasoning_differs", what, fix=fix, severity=Severity.WARNING)]


@dataclass(frozen=True)
class _Texts:
    """What is counted of one example."""

    place: Place
    prompt: str
    answers: dict[str, str]

    @property
    def said(self) -> str:
        """The last prompt and its answer."""
        return self.prompt + [*self.answers.values()][-1]

    @property
    def is_chat(self) -> bool:
        return "output_text" not in self.answers


class TokenCounter:
    """Counts the tokens of one dataset for one model; collects rows into batches."""

    def __init__(self, tokenizer: Any, model: ModelReference, default_context: str = "") -> None:
        """Counts nothing yet.

        Args:
            tokenizer: The model's.
            model: Its limits are used.
            default_context: Context of conversations that have none.
        """
        self._tokenizer = tokenizer
        self._model = model
        self._default_context = default_context
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        # A normaliser may turn one byte into several; without it every token is a byte or more.
        self._bytes_bound_tokens = backend is not None and backend.normalizer is None
        self._row: _Texts | None = None
        self._batch: list[_Texts] = []
        self._batch_bytes = 0
        self._counted_bytes = 0
        self._counts = TokenCounts()

    def start(self, uri: str, expected: Format, report: Callable[[Finding], object]) -> None:
        """Begins a dataset.

        Args:
            uri: The dataset.
            expected: The format of its rows.
            report: Called with an error for every row that cannot be written for the model, and a
                warning for every text that will be cut or that spells control tokens.

        Raises:
            UserError: If the tokenizer's template cannot be used.
        """
        self._report = report
        self._formatter: PromptFormatter = formatter_for_dataset(self._tokenizer, uri, expected)
        self._tokens = Tokenization(self._tokenizer, self._formatter, _NO_LIMIT, _NO_LIMIT)
        self._advice = TextAdvice(self._formatter, self._tokens.stop_text)
        self._renderer = RowRenderer(self._formatter, self._default_context, self._take)
        # Tokens that the format adds, whatever the text: at most what an empty prompt has.
        self._overhead = len(
            self._tokens.prompts([self._formatter.prompt(_SHORTEST)], [None])[0].ids
        )
        self._counts = TokenCounts(has_reasoning=self._advice.expects_reasoning)
        self._counted_bytes = 0

    def add(self, place: Place, row: Row) -> None:
        """Takes one row; counts when a batch is full.

        Raises:
            UserError: If the model's template cannot be used any further.
        """
        self._report_all(self._advice.of_row(place, row))
        self._renderer.add(place, row)

    def finish(self) -> TokenCounts:
        """Counts what is left, and gives the counts of this dataset.

        Raises:
            UserError: As `add`.
        """
        self._renderer.finish()
        self._close_row()
        self._count_batch()
        return self._counts

    def _take(self, written: RowExample[Place]) -> None:
        """Collects the examples of one row after the other."""
        place, example = written.place, written.example
        if isinstance(example, UnusableTemplateError):
            where = str(replace(place, path=""))
            problems = (replace(problem, where=where) for problem in example.problems)
            raise UnusableTemplateError(*problems)
        if isinstance(example, UserError):
            self._report_all(refused_row(example, place))
            return
        if self._row is None or self._row.place != place:
            self._close_row()
            self._row = _Texts(place, example.prompt, {})
        elif not example.prompt.startswith(self._row.said):
            self._counts.rewritten += 1
        self._row = replace(self._row, prompt=example.prompt)
        self._row.answers[written.path] = example.answer

    def _close_row(self) -> None:
        texts, self._row = self._row, None
        if texts is None:
            return
        size = len(texts.prompt.encode())
        longest = max(len(answer.encode()) for answer in texts.answers.values())
        if self._counted_bytes > COUNTED_BYTES and self._surely_fits(size, longest):
            self._counts.uncounted += 1
            return
        size += sum(map(len, texts.answers.values()))
        self._counted_bytes += size
        self._batch.append(texts)
        self._batch_bytes += size
        if len(self._batch) == _BATCH or self._batch_bytes >= _BATCH_BYTES:
            self._count_batch()

    def _surely_fits(self, prompt_bytes: int, completion_bytes: int) -> bool:
        return (
            self._bytes_bound_tokens
            and prompt_bytes + self._overhead <= self._model.max_input_tokens
            and completion_bytes + self._overhead <= self._model.max_output_tokens
        )

    def _count_batch(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        prompts = self._tokens.prompts([texts.prompt for texts in batch], [None] * len(batch))
        flat = [answer for texts in batch for answer in texts.answers.values()]
        # Of each, the last token is its end.
        completions = iter([len(tokens.ids) - 1 for tokens in self._tokens.completions(flat)])
        for texts, prompt in zip(batch, prompts, strict=True):
            outputs = [next(completions) for _ in texts.answers]
            self._counts.inputs.add(len(prompt.ids))
            self._counts.outputs.update(outputs)
            self._report_all(self._find_truncated(texts, len(prompt.ids), outputs))

    def _report_all(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._report(finding)

    def _find_truncated(self, texts: _Texts, prompt: int, outputs: list[int]) -> Iterator[Finding]:
        limit = self._model.max_input_tokens
        if prompt > limit:
            path = "messages" if texts.is_chat else "input_text"
            yield _truncated("truncated_input", "the input", texts.place, path, prompt, limit)
        limit = self._model.max_output_tokens
        for path, tokens in zip(texts.answers, outputs, strict=True):
            if tokens > limit:
                yield _truncated("truncated_output", "the output", texts.place, path, tokens, limit)


def _truncated(kind: str, name: str, place: Place, path: str, tokens: int, limit: int) -> Finding:
    what = f"{name} has {tokens:,} tokens: {tokens - limit:,} are cut off."
    allowed = f"at most {limit:,} tokens"
    return Finding(kind, what, allowed, severity=Severity.WARNING).at(place, path)
