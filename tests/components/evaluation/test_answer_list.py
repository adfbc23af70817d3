from __future__ import annotations

import json

import pytest

from kfp_llm_tuning.components.evaluation import answer_list
from kfp_llm_tuning.components.evaluation.answer_list import Kind, difference, list_answers
from kfp_llm_tuning.components.evaluation.paired_answers import Example


def example(line=1, base_score=0.0, tuned_score=1.0, **texts):
    given = {"prompt": "user: Why?\n", "question": "Why?", "reference": "so", "base": "x"}
    return Example(
        line=line,
        turn=0,
        score_name="token_f1",
        base_score=base_score,
        tuned_score=tuned_score,
        tuned_likelihood=-1.0,
        **{"tuned": "so", **given, **texts},
    )


def test_what_broke_comes_first_and_then_the_worst():
    scores = [(1.0, 1.0), (0.0, 1.0), (0.5, 0.5), (0.2, 0.2), (0.9, 0.4), (1.0, 0.0), (0.1, 0.2)]
    found = list_answers([example(line, *pair) for line, pair in enumerate(scores, start=1)])
    assert [row["line"] for row in found.rows] == [6, 5, 4, 3, 2, 7, 1]
    assert found.counts == {
        Kind.BROKEN: 2,
        Kind.WRONG: 2,
        Kind.IMPROVED: 2,
        Kind.RIGHT: 1,
    }


@pytest.mark.parametrize(
    ("expected", "given", "pieces"),
    [
        ("same", "same", [("=", "same")]),
        ("", "", []),
        ("pay_bill", "", [("-", "pay_bill")]),
        ("the red cat", "the cat", [("=", "the "), ("-", "red "), ("=", "cat")]),
        ("a b", "a  b", [("=", "a"), ("+", "  "), ("-", " "), ("=", "b")]),
        ("Yes.", "Yes!", [("=", "Yes"), ("+", "!"), ("-", ".")]),
    ],
)
def test_the_difference_of_two_texts(expected, given, pieces):
    assert difference(expected, given) == pieces


def test_both_texts_can_be_read_from_their_difference():
    expected, given = "It is 12:30,\nnot noon. ", "It was 12.30 -\tnot\n\nnoon"
    pieces = difference(expected, given)
    assert "".join(text for sign, text in pieces if sign != "+") == expected
    assert "".join(text for sign, text in pieces if sign != "-") == given


def test_texts_too_long_to_compare_differ_as_a_whole():
    long = "word " * 3000
    assert difference(long, long + "more") == [("-", long), ("+", long + "more")]


def test_the_page_stays_small(monkeypatch):
    monkeypatch.setattr(answer_list, "MOST_BYTES", 2000)
    found = list_answers([example(line) for line in range(1, 101)])
    assert 5 < len(found.rows) < 20
    assert found.left_out == 100 - len(found.rows)
    assert len(found.to_json().encode()) < 2500
    assert found.counts[Kind.IMPROVED] == 100


def test_a_long_text_loses_its_middle():
    found = list_answers([example(base="begin " + "x" * 30_000 + " end")])
    base = found.rows[0]["base"]
    assert base.startswith("begin x")
    assert "[…10,010 characters…]" in base
    assert found.shortened == 1


def test_nothing_ends_the_script_that_holds_the_rows():
    text = "</script><!-- & \u2028"
    written = list_answers([example(base=text)]).to_json()
    assert not set("<>&") & set(written)
    assert json.loads(written)[0]["base"] == text


def test_the_whole_prompt_stands_beside_its_last_message_only_where_there_is_more():
    [more, same] = list_answers([example(), example(prompt="Why?\n", question="")]).rows
    assert more["prompt"] == "user: Why?\n"
    assert "prompt" not in same
    assert same["question"] == "Why?"
