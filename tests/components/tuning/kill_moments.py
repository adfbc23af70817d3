"""Random moments of a tuner's whole life, for tests that kill it there."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Phase:
    """A part of a run's life.

    Attributes:
        name: What the run does.
        sign: Glob, below the run's folders, of the first that the phase leaves; empty at the start.
        seconds: How long after the sign the kill comes, at the most.
    """

    name: str
    sign: str
    seconds: float


PHASES = (
    Phase("starting and meeting", "", 8.0),
    Phase("loading", "**/.lock", 1.0),
    Phase("the first steps", "**/step-2", 0.5),
    Phase("writing a checkpoint", "**/.writing-[68]", 0.05),
    Phase("selecting", "**/.writing-12", 0.4),
    Phase("exporting", "**/.*.writing-*/*/*", 0.1),
    Phase("publishing", "**/model/*", 0.2),
    Phase("ending", "**/model/tuning.json", 0.3),
)
# Each phase once, unless the variable KILLS says how many.
MOMENTS = range(int(os.environ.get("KILLS", len(PHASES))))


def wait_for_moment(number: int, folder: Path, ended: Callable[[], bool]) -> random.Random:
    """Waits for a moment in the life of a run of twelve steps.

    Args:
        number: Of the moment; the phases take turns.
        folder: All that the run writes lies in it.
        ended: Tells whether the run has ended, which ends the waiting too.

    Returns:
        What decides whom the kill hits.
    """
    phase, chance = PHASES[number % len(PHASES)], random.Random(number)
    while phase.sign and not ended() and not _is_there(folder, phase.sign):
        time.sleep(0.002)
    time.sleep(chance.uniform(0, phase.seconds))
    return chance


def _is_there(folder: Path, sign: str) -> bool:
    try:
        return any(folder.glob(sign))
    except FileNotFoundError:  # The run deletes what is being looked through.
        return False
