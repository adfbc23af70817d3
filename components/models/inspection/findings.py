"""What an inspection finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kfp_llm_tuning.components.common.errors import Problem


@dataclass
class Inspection:
    """What was found of a checkpoint; every check adds to it.

    Attributes:
        problems: What keeps the checkpoint from being tuned.
        warnings: What a user should know before.
        notes: What is done with the checkpoint without being asked for.
        tokenizer: The checkpoint's tokenizer, where it could be loaded.
    """

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    tokenizer: Any = None
