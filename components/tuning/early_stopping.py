"""When to stop and which step to export, as the published templates define them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """Stops when a metric that should rise has not risen for some evaluations.

    Attributes:
        patience: Evaluations without a rise before it stops.
        tolerance: Relative rise over the best value that counts as one.
        best: Best value so far; None before the first evaluation.
        without_rise: Evaluations since the last rise.
    """

    patience: int
    tolerance: float
    best: float | None = None
    without_rise: int = 0

    def update(self, value: float) -> bool:
        """Takes one evaluation into account.

        Args:
            value: The metric, larger is better.

        Returns:
            Whether to stop now.
        """
        if self.best is None or value - self.best > self.tolerance * abs(self.best):
            self.best = value
            self.without_rise = 0
        else:
            self.without_rise += 1
        return self.without_rise >= self.patience


@dataclass
class BestStep:
    """The step whose evaluation was best; the earlier one of two equals.

    Attributes:
        step: The step; 0 before the first evaluation.
        value: Its metric.
    """

    step: int = 0
    value: float = float("-inf")

    def update(self, step: int, value: float) -> bool:
        """Takes one evaluation into account.

        Returns:
            Whether it is the best so far.
        """
        if value <= self.value:
            return False
        self.step, self.value = step, value
        return True
