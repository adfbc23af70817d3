"""YAML and JSON that hang, exhaust memory or mean nothing: refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.common import documents
from kfp_llm_tuning.components.common.documents import (
    parse_json,
    parse_yaml,
    parse_yaml_documents,
    read_text,
    size_problems,
    unknown_names,
    value_problems,
)
from kfp_llm_tuning.components.common.errors import UserError

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)
BAD_YAML = {
    "aliases of aliases": (BOMB, "stands for 1.23e.11 values"),
    "an alias of itself": ("a: &a [*a]", "an alias of what it is a part of"),
    "merged bombs": (BOMB.replace("[", "[{x: 1},") + "m:\n  <<: *k", "stands for"),
    "5,000 digits": ("train_steps: " + "9" * 5000, "a number of 5,000 digits"),
    "sixties": ("train_steps: " + "1:" * 5000 + "1", "a number of 10,001 digits"),
    "nested lists": ("[" * 200_000, "is nested too deeply"),
    "nested lines": ("\n".join(" " * n + "a:" for n in range(100)), "is nested too deeply"),
    "NaN": ("a:\n  b: [.nan]", r"f: a: b\[0\]: nan is no finite number"),
    "infinity": ("a: -.inf", "f: a: -inf is no finite number"),
    "half a character": ('a: "\\ud800"', "half a character|is not YAML"),
    "NUL": ('a: "x\\0"', r"f: a: the text has the character U\+0000 at position 2"),
    "a large number": ("a: 9223372036854775808", "f: a: the number is too large"),
    "a name twice": ("train_steps: 3\ntrain_steps: 4", "f: train_steps: stands 2 times"),
    "two documents": ("a: 1\n---\na: 2", "holds 2 documents"),
    "no date": ("a: 2026-13-45", "is not YAML: ValueError"),
    "a wrong tag": ("a: !!bool maybe", "is not YAML"),
    "no timestamp": ("a: !!timestamp now", "is not YAML"),
    "a tag of Python": ("a: !!python/object:os.system {}", "is not YAML"),
    "no name": ("? [a]\n: 1", "is not YAML"),
    "a bracket": ("a: ]", "is not YAML"),
}
BAD_JSON = {
    "5,000 digits": ("9" * 5000, "is not JSON: a number of 5,000 digits"),
    "nested": ("[" * 200_000, "is nested too deeply"),
    "nested a little": ("[" * 80 + "]" * 80, "is nested too deeply. Allowed: at most 64 levels"),
    "NaN": ('{"a": NaN}', "f: a: nan is no finite number"),
    "infinity": ('{"a": 1e400}', "f: a: inf is no finite number"),
    "half a character": ('{"a": ["\\ud83d"]}', r"f: a\[0\]: the text has .ud83d, half a character"),
    "half a character in a name": ('{"\\udc00": 1}', "a name in f: the text has .udc00"),
    "a name twice": ('{"a": {"b": 1, "b": 1}}', "f: b: stands 2 times"),
    "nothing": ("", "is not JSON"),
}


@pytest.mark.parametrize("case", BAD_YAML)
def test_yaml_that_cannot_be_is_refused(case: str) -> None:
    text, message = BAD_YAML[case]
    with pytest.raises(UserError, match=message):
        parse_yaml(text, "f")


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_cannot_be_is_refused(case: str) -> None:
    text, message = BAD_JSON[case]
    with pytest.raises(UserError, match=message):
        parse_json(text, "f")


def test_plain_documents_are_read() -> None:
    text = "base: &b {x: 1, d: 0x10}\nother:\n  <<: *b\n  x: 2\nempty:\nt: [true, 1.5, 'é', *b]"
    base = {"x": 1, "d": 16}
    expected = {
        "base": base,
        "other": {"x": 2, "d": 16},
        "empty": None,
        "t": [True, 1.5, "é", base],
    }
    assert parse_yaml(text, "f") == expected
    assert parse_yaml("", "f") is None
    assert parse_yaml_documents("a: 1\n---\nb: 2\n", "f") == [{"a": 1}, {"b": 2}]
    assert parse_json('{"a": [1, 2.5, null, true, "\\ud83d\\ude00"]}', "f") == {
        "a": [1, 2.5, None, True, "😀"]
    }


def test_files_are_read_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_text(path) == "a: 1"
    path.write_bytes(b"a: 1234567")
    monkeypatch.setattr(documents, "MAXIMUM_BYTES", 8)
    with pytest.raises(UserError, match="f.yaml: is too long. Allowed: at most 8 bytes"):
        read_text(path)
    path.write_text("a", encoding="utf-16")
    with pytest.raises(UserError, match="f.yaml: is not UTF-8: byte 0xff at position 1"):
        read_text(path)


@pytest.mark.parametrize("name", ["missing", "", "x" * 300, "a\0b", "\udcff"])
def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be read") as caught:
        read_text(tmp_path / name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=12,
    )
)
def test_what_has_no_problem_travels_as_it_is(value: Any) -> None:
    if not value_problems(value, "f"):
        assert parse_json(json.dumps(value, allow_nan=False), "f") == value
        json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize("read", [parse_json, parse_yaml])
@settings(max_examples=40)
@given(text=st.text(max_size=40))
def test_any_text_is_read_or_refused(read: Any, text: str) -> None:
    try:
        read(text, "f")
    except UserError as error:
        assert str(error).startswith(("f: ", "a name in f", "2 problems"))


def test_problems_of_values_are_told_up_to_a_bound() -> None:
    assert len(value_problems([float("nan")] * 100_000, "f")) == 20


def test_names_near_unknown_ones_are_looked_for_a_few_times_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def counted(name: str, known: Any, otherwise: str) -> str:
        asked.append(name)
        return otherwise

    monkeypatch.setattr(documents, "did_you_mean", counted)
    problems = unknown_names((f"x{n}" for n in range(100_000)), ["a"], "unknown.", "See --help.")
    assert len(asked) == 20
    assert len(problems) == 21
    assert str(problems[-1]) == "99,980 more: unknown. See --help."


def test_an_unknown_name_is_told_with_the_near_one() -> None:
    known = ["train_steps", "seed"]
    told = [str(problem) for problem in unknown_names(["train-step", "x" * 10**6], known, "no.")]
    assert told[0] == "train-step: no. Did you mean train_steps?"
    assert len(told[1]) < 100


def test_values_that_no_process_can_be_given_are_told() -> None:
    assert not size_problems({"a": "x" * 90_000})
    (problem,) = size_problems({"a": "é" * 20_000, "b": 1})  # six bytes each in JSON
    assert str(problem).startswith("a: 120,002 bytes, 120,003 with all other parameters. Allowed:")
