"""Which answers of a conversation are learned."""

from __future__ import annotations

from enum import StrEnum


class TrainOn(StrEnum):
    """Choices of the root input ``train_on``."""

    ALL = "all"
    LAST = "last"
