"""How many examples a set may have: the model says."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.data.formats.published import PUBLISHED_TEXT
from kfp_llm_tuning.components.data.reading.scan import Scan
from kfp_llm_tuning.components.data.rows import RowFormat
from kfp_llm_tuning.components.models.dataset_limits import OPEN, PUBLISHED
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.validation.count_rules import (
    check_evaluation_counts,
    check_training_counts,
)


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("byte-tiny", OPEN),
        ("hf://a/b", OPEN),
        ("text-bison@002", PUBLISHED),
        ("codechat-bison-32k", PUBLISHED),
    ],
)
def test_closed_names_keep_the_published_limits(name: str, limits: object) -> None:
    assert resolve(name).dataset_limits is limits


def counted(examples: int, messages: int = 0) -> Scan:
    return Scan("a.jsonl", "a.jsonl", PUBLISHED_TEXT, examples=examples, messages=messages)


@pytest.mark.parametrize("row_format", list(RowFormat))
def test_open_models_train_on_any_number_from_ten(row_format: RowFormat) -> None:
    messages = 4_000_000 if row_format == RowFormat.CHAT else 0
    assert not [*check_training_counts(counted(1_000_000, messages), row_format, OPEN)]
    (few,) = check_training_counts(counted(9), row_format, OPEN)
    assert few.kind == "too_few_examples"
    assert few.allowed.startswith("at least 10 ") and "most" not in few.allowed


@pytest.mark.parametrize(
    ("examples", "open_finding", "closed_finding"),
    [
        (9, "too_few_examples", "too_few_examples"),
        (250, "", ""),
        (256, "", "many_evaluation_examples"),
        (257, "", "too_many_examples"),
        (2_501, "many_evaluation_examples", "too_many_examples"),
    ],
)
def test_evaluation_sets(examples: int, open_finding: str, closed_finding: str) -> None:
    for limits, expected in ((OPEN, open_finding), (PUBLISHED, closed_finding)):
        kinds = [finding.kind for finding in check_evaluation_counts(counted(examples), limits)]
        assert kinds == [expected] * bool(expected)
