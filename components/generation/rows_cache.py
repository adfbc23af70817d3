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
# Rooms this many times as large as what is in use are left for smaller ones.
_MOST_ROOM = 4


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

    def keep(self, order: Sequence[int], unused: int) -> None:
        """Keeps some rows.

        Args:
            order: For each place the row that takes it: itself, or one from beyond the last place.
            unused: Columns from the first on that are padding in all of them, and are dropped.
        """
        for layer in self._own_layers():
            layer.keep(order, unused)

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

    def keep(self, order: Sequence[int], unused: int) -> None:
        """Keeps some rows.

        Args:
            order: For each place the row that takes it.
            unused: No column can be dropped: 0.
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

    ``keys`` and ``values`` are what is in use: rows from the first on, columns from ``_first`` to
    ``_last``.
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
        rows, new = len(key_states), key_states.shape[-2]
        if not self.is_initialized:
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
            self._move(rows, right=new)
            self.is_initialized = True
        elif self._last + new > self._columns:
            self._move(rows, right=new)
        place = (slice(rows), slice(None), slice(self._last, self._last + new))
        self._keys[place], self._values[place] = key_states, value_states
        self._use(rows, self._first, self._last + new)
        return self.keys, self.values

    def keep(self, order: Sequence[int], unused: int) -> None:
        """See `RowsCache.keep`."""
        places = [place for place, row in enumerate(order) if row != place]
        if places:
            rows = [order[place] for place in places]
            self.keys[places] = self.keys[rows]
            self.values[places] = self.values[rows]
        self._use(len(order), self._first + unused, self._last)
        # A long row has left, or many: what they took is given back.
        if self.keys.numel() * _MOST_ROOM < self._keys.numel():
            self._move(len(order))

    def join(self, other: _RowsLayer) -> None:
        """See `RowsCache.join`."""
        ours, rows = len(self.keys), len(self.keys) + len(other.keys)
        width = other.keys.shape[-2]
        if rows > len(self._keys) or width > self._last:
            self._move(rows, left=max(0, width - self.keys.shape[-2]))
        first, start = self._first, self._last - width
        for room, states in ((self._keys, other.keys), (self._values, other.values)):
            room[ours:rows, :, start : self._last] = states
            # Whoever left may have left what is not finite, which a mask does not keep out.
            room[ours:rows, :, first:start] = 0
            room[:ours, :, start:first] = 0
        self._use(rows, min(first, start), self._last)

    def _move(self, rows: int, *, left: int = 0, right: int = 0) -> None:
        """Moves into rooms for so many rows, with free columns on the left and on the right.

        The rooms are filled with zeros: what is masked is multiplied by 0, and must be finite.
        """
        width = self.keys.shape[-2]
        needed = left + width + right
        self._columns = needed + max(_SPARE_COLUMNS, needed // _SPARE_SHARE)
        self._keys = self._moved(self.keys, rows, left)
        self._values = self._moved(self.values, rows, left)
        self._use(len(self.keys), left, left + width)

    def _moved(self, held: torch.Tensor, rows: int, left: int) -> torch.Tensor:
        count, heads, width, size = held.shape
        room = held.new_zeros((_next_power(rows), heads, self._columns, size))
        room[:count, :, left : left + width] = held
        return room

    def _use(self, rows: int, first: int, last: int) -> None:
        self._first, self._last = first, last
        self.keys = self._keys[:rows, :, first:last]
        self.values = self._values[:rows, :, first:last]


def _next_power(rows: int) -> int:
    return 1 << (rows - 1).bit_length()
