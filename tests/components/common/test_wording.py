"""Values in messages: one line each, of bounded length."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.wording import (
    did_you_mean,
    first_few,
    nearest,
    one_line,
    short,
)


def test_names_are_one_line_each_and_few() -> None:
    assert first_few(["a", "b", "c"]) == "a, b, c"
    assert first_few(["a", "b", "c", "d"]) == "a, b, c, ..."
    hostile = first_few(["x\ny" * 10_000, "u\0"])
    assert hostile.isprintable()
    assert len(hostile) < 400


@pytest.mark.parametrize("value", ["a\nb" * 10_000, ["x"] * 10_000, {"a": "b" * 10_000}, 10**4000])
def test_any_value_is_short(value: object) -> None:
    for told in (short(value), one_line(value)):
        assert told.isprintable()
        assert len(told) < 1_000


def test_a_long_name_is_no_misspelling() -> None:
    assert nearest("trian_steps", ["train_steps", "seed"]) == "train_steps"
    assert nearest("train_steps" * 6, ["train_steps" * 6]) == ""
    assert did_you_mean("sed", ["seed"]) == "Did you mean seed?"
    assert did_you_mean("zzz", ["seed"], "See --help.") == "See --help."
