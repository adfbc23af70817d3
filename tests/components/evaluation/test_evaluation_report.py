from __future__ import annotations

import re

import pytest

from kfp_llm_tuning.components.evaluation.artifacts import PredictionInfo, PredictionSet
from kfp_llm_tuning.components.evaluation.comparison import compare
from kfp_llm_tuning.components.evaluation.evaluation_report import render_report
from kfp_llm_tuning.components.evaluation.history import read_history


@pytest.fixture
def history(history_folder):
    return read_history(history_folder)


def test_shows_what_improved_and_what_broke(make_predictions, history):
    references = ["alpha", "beta", "gamma", "delta"]
    base = make_predictions(["alpha", "x", "y", "z"], references)
    tuned = make_predictions(["broken answer", "beta", "y2", "delta"], references)
    page = render_report(compare(base, tuned, "exact_match", 0.9), history)
    assert "What broke: 1 of 4" in page
    assert "What improved: 2" in page
    assert "Still wrong: 1" in page
    assert page.index("broken answer") < page.index("y2") < page.index("What improved")
    assert "Gate not passed" in page
    assert "Correct next tokens" not in page  # the history has no such tag
    assert page.count("<svg") == 1


def test_classification_has_a_matrix_and_a_table_of_labels(make_predictions, history):
    labels = ["no", "yes"]
    base = make_predictions(["no", "no"], labels, labels=labels)
    tuned = make_predictions(labels, labels, labels=labels)
    page = render_report(compare(base, tuned, "", 0.0), history)
    assert "Confusion matrix" in page
    assert "F1 tuned" in page
    assert "Area under ROC" in page


def test_rows_of_other_people_are_escaped(make_predictions, history):
    attack = "<script>alert(1)</script>"
    predictions = make_predictions([attack], [attack + "!"], source_uri=attack)
    page = render_report(compare(predictions, predictions, "", 0.0), history)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_remarks_are_not_silent(make_predictions, history):
    facts = {
        "unfinished": 3,
        "max_new_tokens": 7,
        "max_new_tokens_rule": "a rule",
        "truncated_inputs": 12,
        "truncated_input_lines": list(range(1, 13)),
        "truncated_outputs": 1,
        "truncated_output_lines": [4],
        "duplicate_prompts": 5,
    }
    predictions = make_predictions(["", "x"], ["猫", "b"], **facts)
    page = render_report(compare(predictions, predictions, "", 0.0), history)
    for text in (
        "3 answers did not end within 7 tokens (a rule)",
        "12 prompts were too long and were cut (lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …)",
        "1 references were too long and were cut (lines 4)",
        "5 prompts equal an earlier one",
        "1 answers are empty",
        "ROUGE sees nothing in 1 references",
        "BLEU counts runs of 4 words",
    ):
        assert text in page


def test_long_texts_are_cut_in_the_middle_and_long_lists_at_their_end(make_predictions, history):
    long = "begin " + "x" * 5000 + " end"
    predictions = make_predictions([long] * 30, ["a"] * 30)
    page = render_report(compare(predictions, predictions, "", 0.0), history)
    assert "x" * 1000 not in page
    assert re.search(r"begin x+ \[…4,310 characters…\] x+ end", page)
    assert "And 22 more, in predictions.jsonl" in page


def test_without_an_evaluation_set_the_page_says_so_and_shows_the_curves(history):
    empty = PredictionSet(PredictionInfo())
    page = render_report(compare(empty, empty, "bleu", 1.0), history)
    assert "There was no evaluation set" in page
    assert page.count("<svg") == 1
    assert "What broke" not in page
