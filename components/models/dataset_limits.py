"""How many examples a model's datasets may have: the published names' limits, and open models'."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetLimits:
    """Limits of the sets that a model is tuned and evaluated on; None for no limit.

    Attributes:
        minimum_examples: Of either set: fewer say nothing. Conversations count once.
        maximum_examples: Text examples of the training set.
        maximum_messages: Messages ("authors") of all the training set's conversations together.
        maximum_evaluation_examples: Examples or conversations of the evaluation set.
        advised_evaluation_examples: More of them take time and tell little more.
    """

    minimum_examples: int = 10
    maximum_examples: int | None = None
    maximum_messages: int | None = None
    maximum_evaluation_examples: int | None = None
    # The share of right answers among so many is known to two points (95%) already, and every one
    # is answered by two models.
    advised_evaluation_examples: int = 2_500

    @property
    def advised_on(self) -> int | None:
        """How many good examples deserve advice: a larger set is refused; None for all."""
        return self.maximum_examples


# The published templates refuse fewer or more. Of evaluation examples they accept 256, and the
# documentation says 250.
PUBLISHED = DatasetLimits(
    maximum_examples=10_000,
    maximum_messages=10_000,
    maximum_evaluation_examples=256,
    advised_evaluation_examples=250,
)
OPEN = DatasetLimits()
