"""The loop in which requests become answers: many at a time, each for as long as it takes.

Every step, requests that wait are read and join the rows under way, then every row gets its next
token, and rows that have ended leave. A long answer so delays no short one.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

import torch

from kfp_llm_tuning.components.generation.batches import BATCH_SIZE, TOKENS_PER_BATCH
from kfp_llm_tuning.components.generation.engine import (
    GenerationRequest,
    Listener,
    TokenLogprobs,
)
from kfp_llm_tuning.components.generation.rows import RowModel, Rows, stay_in_place
from kfp_llm_tuning.components.generation.sampling import RowSampling, choose

# Prompt tokens read in one step: rows under way wait for it.
_PROMPT_TOKENS = 8192
# Tokens of padding that take as long as another call of the model: 55 were measured on CPU.
_PADDING = 64

_log = logging.getLogger(__name__)


class Row:
    """A request under way; its own ticket.

    Attributes:
        sampling: How its tokens are chosen.
        written: Tokens so far.
        cancelled: Whether nobody waits for it any more.
        alone: Whether nothing may be computed beside it, since that failed.
    """

    def __init__(self, request: GenerationRequest, listener: Listener) -> None:
        """Starts a request.

        Args:
            request: What is asked.
            listener: Hears of it.
        """
        self._request = request
        self._listener = listener
        self._stops = frozenset(request.stop_tokens)
        self.sampling = RowSampling(request.sampling)
        self.written: list[int] = []
        self.cancelled = False
        self.alone = False

    def __len__(self) -> int:
        """Counts the tokens of prompt and answer so far."""
        return len(self._request.prompt) + len(self.written)

    @property
    def longest(self) -> int:
        """Tokens that it may come to."""
        return len(self._request.prompt) + self._request.max_new_tokens

    @property
    def tokens(self) -> list[int]:
        """Prompt and answer so far."""
        return [*self._request.prompt, *self.written]

    def cancel(self) -> None:
        """Ends the row as soon as can be; from any thread."""
        self.cancelled = True

    def take(self, token: int, logprobs: TokenLogprobs | None) -> bool:
        """Takes the next token and tells of it.

        Args:
            token: Its id.
            logprobs: As asked for.

        Returns:
            Whether the row goes on.
        """
        if token in self._stops:
            self._tell(lambda: self._listener.on_end(True))
            return False
        self.written.append(token)
        self.sampling.note(token)
        self._tell(lambda: self._listener.on_token(token, logprobs))
        if len(self.written) < self._request.max_new_tokens:
            return not self.cancelled
        self._tell(lambda: self._listener.on_end(False))
        return False

    def fail(self, error: Exception) -> None:
        """Tells that there will be no answer.

        Args:
            error: Why.
        """
        self._tell(lambda: self._listener.on_error(error))
        self.cancelled = True

    def _tell(self, call: Callable[[], None]) -> None:
        if self.cancelled:
            return
        try:
            call()
        except Exception:
            _log.exception("A listener failed: its request is dropped.")
            self.cancelled = True


class Decoder:
    """The rows under way and those that wait; used by one thread at a time.

    Attributes:
        broken: Whether the device has failed for good.
    """

    def __init__(self, model: RowModel) -> None:
        """Starts with no rows.

        Args:
            model: Reads and continues them.
        """
        self._model = model
        self._waiting: deque[Row] = deque()
        self._under_way: list[Row] = []
        self._batch: Rows | None = None
        self.broken = False

    @property
    def busy(self) -> bool:
        """Whether any row is under way or waits."""
        return bool(self._under_way or self._waiting)

    def add(self, row: Row) -> None:
        """Lets a row wait for its turn.

        Args:
            row: A new one.
        """
        self._waiting.append(row)

    @torch.inference_mode()
    def step(self) -> None:
        """Lets waiting rows join, and writes a token of every row."""
        admitted = self._admit()
        groups = _groups(admitted) if self._model.rows_may_join else [admitted]
        for group in filter(None, groups):
            self._read(group)
        if self._under_way:
            self._write()

    def fail(self, error: Exception) -> None:
        """Tells all rows that there will be no answer, and forgets them.

        Args:
            error: Why.
        """
        for row in [*self._under_way, *self._waiting]:
            row.fail(error)
        self._waiting.clear()
        self._under_way, self._batch = [], None

    def _admit(self) -> list[Row]:
        """Takes the first waiting rows that there is room for: at least one where none is there."""
        admitted: list[Row] = []
        if self._under_way and not self._model.rows_may_join:
            return admitted
        reading = 0
        while self._waiting:
            row = self._waiting[0]
            if not row.cancelled:
                beside = [*self._under_way, *admitted]
                reading += len(row)
                if beside and not _fits(row, beside):
                    break
                if admitted and reading > _PROMPT_TOKENS and self._model.rows_may_join:
                    break
                admitted.append(row)
            self._waiting.popleft()
        return admitted

    def _read(self, group: list[Row]) -> None:
        """Reads prompts and lets their rows join."""
        try:
            batch, logits = self._model.read([row.tokens for row in group])
            order = stay_in_place(_take(group, logits))
        except Exception as error:
            self._start_over(group, error)
        else:
            rows = [*self._under_way, *(group[row] for row in order)]
            self._arrange(rows, lambda: self._join(batch, order))

    def _write(self) -> None:
        """Gives every row its next token, and lets those leave that have ended."""
        assert self._batch is not None
        rows, batch = self._under_way, self._batch
        try:
            order = stay_in_place(_take(rows, batch.append([row.written[-1] for row in rows])))
        except Exception as error:
            self._start_over(rows, error)
        else:
            if len(order) < len(rows):
                self._arrange([rows[row] for row in order], lambda: batch.keep(order))

    def _join(self, batch: Rows, order: list[int]) -> None:
        if not order:
            return
        if len(order) < len(batch):
            batch.keep(order)
        if self._batch is None:
            self._batch = batch
        else:
            self._batch.join(batch)

    def _arrange(self, rows: list[Row], change: Callable[[], None]) -> None:
        """Has only these rows under way; where the batch cannot be changed so, they start over."""
        self._under_way = rows
        if not rows:
            self._batch = None
            return
        try:
            change()
        except Exception as error:
            self._start_over(rows, error)

    def _start_over(self, rows: list[Row], error: Exception) -> None:
        """Lets rows that failed wait for a turn alone, when memory may do; after that they fail."""
        self.broken |= isinstance(error, torch.AcceleratorError)
        if not set(self._under_way).isdisjoint(rows):
            self._under_way, self._batch = [], None
        again = [row for row in rows if not row.alone]
        for row in rows:
            if row.alone:
                row.fail(error)
            row.alone = True
        if again:
            _log.warning("%d rows failed and are done one by one: %s", len(again), error)
            self._waiting.extendleft(reversed(again))


def _fits(row: Row, beside: Sequence[Row]) -> bool:
    if row.alone or any(other.alone for other in beside):
        return False
    rows = len(beside) + 1
    longest = max(row.longest, *(other.longest for other in beside))
    return rows <= BATCH_SIZE and rows * longest <= TOKENS_PER_BATCH


def _groups(rows: list[Row]) -> list[list[Row]]:
    """Groups rows of similar length: what is padded costs as much as what is read."""
    groups: list[list[Row]] = []
    padding = 0
    for row in sorted(rows, key=lambda row: -len(row)):
        if groups:
            padding += len(groups[-1][0]) - len(row)
        if not groups or padding > _PADDING:
            groups.append([])
            padding = 0
        groups[-1].append(row)
    return groups


def _take(rows: Sequence[Row], logits: torch.Tensor) -> list[bool]:
    """Gives every row its next token; tells which rows go on."""
    tokens, logprobs = choose(logits, [row.sampling for row in rows])
    return [row.take(token, told) for row, token, told in zip(rows, tokens, logprobs, strict=True)]
