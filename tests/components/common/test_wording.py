"""Values in messages: one line each, of bounded length, secrets hidden."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common import credentials
from kfp_llm_tuning.components.common.wording import (
    counted,
    did_you_mean,
    first_few,
    nearest,
    one_line,
    short,
    shorten,
)


def test_one_is_singular() -> None:
    counts = (0, 1, 2, 1_000, 1.0, 0.96, 2.5)
    assert [counted(count, "step") for count in counts] == [
        "no steps",
        "1 step",
        "2 steps",
        "1,000 steps",
        "1 step",
        "0.96 steps",
        "2.5 steps",
    ]


SECRETS = ("://user:pAsSwOrD@host", "https://pAsSwOrD@host", "https://host?sig=pAsSwOrD")


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
    names = ["batch_size", "micro_batch_tokens", "seed"]
    asked = "Did you mean batch_size or micro_batch_tokens?"
    assert did_you_mean("micro_batch_size", names) == asked
    assert did_you_mean("batch_sizes", names) == "Did you mean batch_size?"
    assert did_you_mean("zzz", ["seed"], "See --help.") == "See --help."


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("length", [150, 30_000])
def test_no_part_of_a_secret_is_shown_wherever_the_cut_falls(secret: str, length: int) -> None:
    for before in range(60, 110):
        for text in ("x" * before + secret + " " * length, " " * length + secret + "x" * before):
            told = shorten(text)
            assert len(told) <= 200
            assert not any(part in told for part in ("pAs", "AsS", "sSw", "SwO", "wOr", "OrD"))


def test_a_signature_far_behind_its_scheme_is_hidden() -> None:
    assert shorten(f"https://host/{'a/' * 30_000}?sig=secret").endswith("?sig=***")


def test_many_long_secrets_bring_no_part_of_the_next_into_sight() -> None:
    text = " ".join(f"://u:{'s' * 1000}@h" for _ in range(1000))
    assert "ss" not in shorten(text)
    assert "ss" not in short(text)


def test_of_a_long_text_only_its_ends_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    hide = credentials._hidden
    monkeypatch.setattr(
        credentials, "_hidden", lambda text: (searched.append(len(text)), hide(text))[1]
    )
    told = shorten("a" + "://:" * 2_500_000 + "b")
    assert (told[0], told[-1], len(told)) == ("a", "b", 199)
    assert sum(searched) < 20_000
    assert short("x" * 10_000_000) == f"'{'x' * 37}...{'x' * 38}'"


def test_a_short_text_stays_as_it_is() -> None:
    assert shorten("train.jsonl") == "train.jsonl"
    assert shorten("a" * 201) == "a" * 99 + "…" + "a" * 99
