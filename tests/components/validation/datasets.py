"""Rows without fault, and what validation says of sets of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kfp_llm_tuning.components.data.reading.findings import Severity, list_problems
from kfp_llm_tuning.components.validation.dataset import Request, Validation, validate_dataset

Write = Callable[..., str]
# Unlike enough that no two are near duplicates.
WORDS = ("amber", "bison", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet")


def sentence(number: int) -> str:
    """A sentence unlike that of every other number."""
    picked = (WORDS[number * 7 % 9], WORDS[number // 9 % 9], WORDS[number // 81 % 9])
    return f"{' '.join(picked)} {number * 7919 % 100_003:x} {number * 104_729 % 99_991:x}"


def text_rows(count: int, first: int = 0) -> list[dict[str, str]]:
    """Rows without any fault."""
    return [
        {"input_text": f"in {sentence(n)}", "output_text": f"out {sentence(n + 50_000)}"}
        for n in range(first, first + count)
    ]


def chat_rows(count: int, pairs: int = 2, first: int = 0) -> list[dict[str, Any]]:
    """Conversations without any fault."""
    return [
        {
            "messages": [
                {"author": ("user", "assistant")[turn % 2], "content": sentence(n * 20 + turn)}
                for turn in range(2 * pairs)
            ]
        }
        for n in range(first, first + count)
    ]


def check(training: str, evaluation: str = "", **options: Any) -> Validation:
    request = {"large_model_reference": "byte-tiny", "train_steps": 30} | options
    return validate_dataset(Request(training, evaluation, **request))


def messages(validation: Validation, severity: Severity = Severity.ERROR) -> list[str]:
    return [str(problem) for problem in list_problems(validation.findings, severity)]
