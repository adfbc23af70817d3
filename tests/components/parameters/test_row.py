"""The rows of the tables name groups, platforms and templates that there are."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.platforms import PLATFORM_NAMES
from kfp_llm_tuning.components.parameters.pipeline import TEMPLATES, TEXT
from kfp_llm_tuning.components.parameters.row import GROUPS, Parameter
from kfp_llm_tuning.components.parameters.tuner import ARGUMENTS


@pytest.mark.parametrize("rows", [TEXT, ARGUMENTS], ids=["root inputs", "tuner"])
def test_a_row_names_what_there_is(rows: dict[str, Parameter]) -> None:
    for name, row in rows.items():
        assert row.group in GROUPS, name
        assert set(row.platforms) <= set(PLATFORM_NAMES), name
        assert set(row.templates) <= set(TEMPLATES), name
        assert not row.root_input or row.root_input in TEXT, name
