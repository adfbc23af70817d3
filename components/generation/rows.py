"""Rows of different length that a model continues together, one column of tokens after the other.

Prompts are padded on the left, so that all rows end in the same column. Rows may leave after any
column. They may join after any column where all layers attend to all tokens or to a sliding
window; where a layer holds a state of another kind (Mamba, linear attention, chunks), new rows
must wait until a batch has ended.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from kfp_llm_tuning.components.generation.engine import Tokens
from kfp_llm_tuning.components.generation.rows_cache import ClosedCache, RowsCache, rows_may_join

# Columns that a mask is made for in advance.
_SPARE_COLUMNS = 64


class RowModel:
    """A causal language model that reads prompts into rows."""

    def __init__(self, model: Any, pad: int) -> None:
        """Looks at how the model is called.

        Args:
            model: In evaluation mode.
            pad: Any token, to fill rows with.
        """
        self._model = model
        self._pad = pad
        self._config = model.config.get_text_config(decoder=True)
        self.rows_may_join = rows_may_join(self._config)
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        # Models of the Mamba kind call it otherwise, and mask prompts only: they do not look back.
        self._attends = "past_key_values" in accepted
        self._cache_name = "past_key_values" if self._attends else "cache_params"
        self._options: dict[str, Any] = {"use_cache": True, "return_dict": True}
        if "logits_to_keep" in accepted:
            self._options["logits_to_keep"] = 1

    def read(self, prompts: Sequence[Tokens]) -> tuple[Rows, torch.Tensor]:
        """Reads prompts.

        Args:
            prompts: Token ids, at least one each.

        Returns:
            Their rows, and the logits of what comes next: float32, shape (prompts, vocabulary).
        """
        cache = (RowsCache if self.rows_may_join else ClosedCache)(self._config)
        rows = Rows(self, cache, list(map(len, prompts)))
        width = rows.width
        ids = [[*[self._pad] * (width - len(prompt)), *prompt] for prompt in prompts]
        return rows, self.forward(rows, ids, width)

    def forward(self, rows: Rows, ids: list[list[int]], columns: int) -> torch.Tensor:
        """Calls the model on the last columns of rows, of which only these are not in the cache.

        Args:
            rows: Whose width counts these columns already.
            ids: Their tokens.
            columns: Their number.

        Returns:
            Logits after the last column: float32, shape (rows, vocabulary).
        """
        arguments: dict[str, Any] = {
            **self._options,
            self._cache_name: rows.cache,
            "input_ids": torch.tensor(ids, device=self._model.device),
            "attention_mask": rows.mask() if self._attends or columns == rows.width else None,
        }
        if self._takes_positions:
            arguments["position_ids"] = rows.positions(columns)
        logits: torch.Tensor = self._model(**arguments).logits[:, -1]
        return logits.float()

    @property
    def device(self) -> Any:
        """Where the model is."""
        return self._model.device


class Rows:
    """Rows that end in the same column.

    Attributes:
        cache: What the model remembers of them.
        width: Columns from the first that any row needs.
    """

    def __init__(self, model: RowModel, cache: RowsCache | ClosedCache, lengths: list[int]) -> None:
        """Makes rows that are about to be read.

        Args:
            model: Reads and continues them.
            cache: An empty cache.
            lengths: Their tokens.
        """
        self._model = model
        self.cache = cache
        self.width = max(lengths)
        self._mask: torch.Tensor | None = None
        self._set_starts([self.width - length for length in lengths])

    def __len__(self) -> int:
        """Counts the rows."""
        return len(self._starts)

    def append(self, tokens: Sequence[int]) -> torch.Tensor:
        """Appends a token to every row.

        Args:
            tokens: One a row.

        Returns:
            Logits of what comes next: float32, shape (rows, vocabulary).
        """
        self.width += 1
        return self._model.forward(self, [[token] for token in tokens], 1)

    def keep(self, order: Sequence[int]) -> None:
        """Keeps some rows, and no more columns than they need.

        Args:
            order: As of `stay_in_place`: for each place the row that takes it.
        """
        starts = [self._starts[row] for row in order]
        unused = min(starts) if self.cache.can_join else 0
        self.cache.keep(order, unused)
        self.width -= unused
        self._set_starts([start - unused for start in starts])

    def join(self, other: Rows) -> None:
        """Takes over the rows of another batch, which come after ours.

        Args:
            other: Is used up.
        """
        assert isinstance(self.cache, RowsCache)
        assert isinstance(other.cache, RowsCache)
        self.cache.join(other.cache)
        width = max(self.width, other.width)
        starts = [start + width - self.width for start in self._starts]
        starts += [start + width - other.width for start in other._starts]
        self.width = width
        self._set_starts(starts)

    def mask(self) -> torch.Tensor | None:
        """Tells tokens from padding: shape (rows, width); None where there is no padding."""
        if not self._padded:
            return None
        if self._mask is None or self._mask.shape[1] < self.width:
            columns = torch.arange(self.width + _SPARE_COLUMNS, device=self._model.device)
            self._mask = columns >= self._start_column
        return self._mask[:, : self.width]

    def positions(self, columns: int) -> torch.Tensor:
        """Numbers the last tokens of every row: shape (rows, columns)."""
        if columns == 1:
            return self.width - 1 - self._start_column
        numbers = torch.arange(self.width - columns, self.width, device=self._model.device)
        return (numbers - self._start_column).clamp(min=0)

    def _set_starts(self, starts: list[int]) -> None:
        self._starts = starts
        self._padded = any(starts)
        self._start_column = torch.tensor(starts, device=self._model.device)[:, None]
        self._mask = None


def stay_in_place(stays: Sequence[bool]) -> list[int]:
    """Orders the rows that stay so that few of them move.

    Args:
        stays: Whether each row stays.

    Returns:
        For each place the row that takes it: where the row of that place leaves, one of the last.
    """
    count = sum(stays)
    last = (row for row in range(count, len(stays)) if stays[row])
    return [row if stays[row] else next(last) for row in range(count)]
