"""Keys and values of rows that join and leave while a model continues them.

transformers' own cache copies all that it holds whenever a token is written, a row joins or one
leaves. This one has room to spare: a token is written in place, a row that leaves is replaced by
the last one, and columns that nobody needs any more are no longer looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, cache_utils
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

# Layers that hold nothing of their own. The transformers that vLLM wants, 5.20, has none.
_EMPTY_LAYERS = (cache_utils.DummyLayer,) if hasattr(cache_utils, "DummyLayer") else ()
# A share of the columns in use is kept free for tokens to come, at least so many.
_SPARE_SHARE = 4
_SPARE_COLUMNS = 32


class RowsCache(DynamicCache):
    """A cache whose rows, padded on the left, may join and leave at any time.

    Only for models that attend to all tokens or to a window of them: see `rows_may_join`. Layers
    with a window hold all columns too; the model's mask leaves out what is beyond the window.
    """

    can_join = True

    def __init__(self, config: Any) -> None:
        """Makes an empty cache.

        Args:
            config: The model's text configuration.
        """
        super().__init__(config=config)
        self.layers: list[Any] = [
            layer if isinstance(layer, _EMPTY_LAYERS) else _RowsLayer(layer.is_sliding)
            for layer in DynamicCache(config=config).layers
        ]

    def keep(self, order: Sequence[int]) -> None:
        """Keeps some rows.

        Args:
            order: For each place the row that takes it: itself, or one from beyond the last place.
        """
        for layer in self._own_layers():
            layer.keep(order)

    def drop_left(self, columns: int) -> None:
        """Forgets the first columns, which must be padding in all rows."""
        for layer in self._own_layers():
            layer.drop_left(columns)

    def join(self, other: RowsCache) -> None:
        """Takes over the rows of another cache, which comes after ours and ends where ours end."""
        for ours, theirs in zip(self._own_layers(), other._own_layers(), strict=True):
            ours.join(theirs)

    def _own_layers(self) -> list[_RowsLayer]:
        return [layer for layer in self.layers if isinstance(layer, _RowsLayer)]


class ClosedCache(DynamicCache):
    """A cache of any kind of layers, whose rows come together and leave one by one."""

    can_join = False

    def __init__(self, config: Any) -> None:
        """Makes an empty cache.

        Args:
            config: The model's text configuration.
        """
        super().__init__(config=config)

    def keep(self, order: Sequence[int]) -> None:
        """Keeps some rows.

        Args:
            order: For each place the row that takes it.
        """
        self.reorder_cache(torch.tensor(order))


def rows_may_join(config: Any) -> bool:
    """Tells whether a model's layers let rows of any length join a running batch.

    Args:
        config: The model's text configuration.

    Returns:
        True where all layers attend to all tokens or to a sliding window; False where layers hold
        a state that columns cannot be cut from (Mamba, linear attention) or attend by chunks.
    """
    kinds = {type(layer) for layer in DynamicCache(config=config).layers}
    by_chunks = "chunked_attention" in (getattr(config, "layer_types", None) or []) or getattr(
        config, "attention_chunk_size", None
    )
    return not by_chunks and kinds <= {DynamicLayer, DynamicSlidingWindowLayer, *_EMPTY_LAYERS}


class _RowsLayer(DynamicLayer):
    """One layer: a room for keys and one for values, of which some rows and columns are in use.

    ``keys`` and ``values`` are views of the rooms: rows from the first on, columns from ``_first``
    to ``_last``.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, is_sliding: bool) -> None:
        super().__init__()
        self.is_initialized: bool = False
        self.is_sliding = is_sliding

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends columns, in place where there is room; gives all of them."""
        if not self.is_initialized:
            self._rooms = (key_states, value_states)
            self._rows, self._first, self._last = len(key_states), 0, key_states.shape[-2]
            self.is_initialized = True
        else:
            start, new = self._last, key_states.shape[-2]
            if start + new > self._rooms[0].shape[-2]:
                self._move(self._rows, 0, new)
                start = self._last
            self._last = start + new
            for room, states in zip(self._rooms, (key_states, value_states), strict=True):
                room[: self._rows, :, start : self._last] = states
        self._look()
        return self.keys, self.values

    def keep(self, order: Sequence[int]) -> None:
        """See `RowsCache.keep`."""
        moved = [place for place, row in enumerate(order) if row != place]
        if moved:
            columns = slice(self._first, self._last)
            for room in self._rooms:
                room[moved, :, columns] = room[[order[place] for place in moved], :, columns]
        self._rows = len(order)
        self._look()

    def drop_left(self, columns: int) -> None:
        """See `RowsCache.drop_left`."""
        self._first += columns
        self._look()

    def join(self, other: _RowsLayer) -> None:
        """See `RowsCache.join`."""
        rows, width = self._rows + other._rows, other._last - other._first
        if rows > len(self._rooms[0]) or width > self._last:
            self._move(rows, max(0, width - (self._last - self._first)), 0)
        place = (slice(self._rows, rows), slice(None), slice(self._last - width, self._last))
        for room, states in zip(self._rooms, (other.keys, other.values), strict=True):
            room[place] = states
        self._rows = rows
        self._first = min(self._first, self._last - width)
        self._look()

    def _move(self, rows: int, left: int, right: int) -> None:
        """Moves into rooms for so many rows, with free columns on the left and on the right.

        The rooms are filled with zeros: what is masked is multiplied by zero, and must be finite.
        """
        width = self._last - self._first
        needed = left + width + right
        columns = needed + max(_SPARE_COLUMNS, needed // _SPARE_SHARE)
        rooms = []
        for room, held in zip(self._rooms, (self.keys, self.values), strict=True):
            moved = room.new_zeros((_next_power(rows), room.shape[1], columns, room.shape[3]))
            moved[: self._rows, :, left : left + width] = held
            rooms.append(moved)
        self._rooms = (rooms[0], rooms[1])
        self._first, self._last = left, left + width

    def _look(self) -> None:
        keys, values = self._rooms
        self.keys = keys[: self._rows, :, self._first : self._last]
        self.values = values[: self._rows, :, self._first : self._last]


def _next_power(rows: int) -> int:
    return 1 << (rows - 1).bit_length()
