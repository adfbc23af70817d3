"""Names of the formats that rows of a dataset may be written in."""

from __future__ import annotations

from enum import StrEnum


class FormatName(StrEnum):
    """Values of the root input dataset_format; components/data/formats has a module for each."""

    PUBLISHED = "published"
    OPENAI = "openai"
    GEMINI = "gemini"
    PROMPT_COMPLETION = "prompt-completion"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    PREFERENCE = "preference"
