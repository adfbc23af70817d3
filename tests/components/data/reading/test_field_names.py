"""Names that may be meant."""

from __future__ import annotations

from kfp_llm_tuning.components.data.reading.field_names import misspelling_of, possible_names


def test_only_a_few_short_names_may_be_misspelt_ones() -> None:
    names = ("x" * 10**6, "inputtext", *(f"n{n}" for n in range(100_000)))
    assert possible_names(names)[0] == "inputtext"
    assert len(possible_names(names)) < 40
    assert misspelling_of("input_text", possible_names(names), ("output_text",)) == "inputtext"
