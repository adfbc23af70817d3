from __future__ import annotations

import json
import re

import pytest

from kfp_llm_tuning.components.evaluation.artifacts import PredictionInfo, PredictionSet
from kfp_llm_tuning.components.evaluation.comparison import Criteria, compare
from kfp_llm_tuning.components.evaluation.evaluation_report import render_report
from kfp_llm_tuning.components.evaluation.gate import Gate
from kfp_llm_tuning.components.evaluation.history import read_history


@pytest.fixture
def history(history_folder):
    return read_history(history_folder)


def data_of(page):
    """What the page's script reads."""
    [text] = re.findall(r'id="answer-data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_shows_what_improved_and_what_broke(make_predictions, history):
    references = ["alpha", "beta", "gamma", "delta"]
    base = make_predictions(["alpha", "x", "y", "delta"], references)
    tuned = make_predictions(["broken answer", "beta", "y2", "delta"], references)
    page = render_report(compare(base, tuned, Criteria(gate=Gate("exact_match", 0.9))), history)
    assert "1 broken, 1 still wrong, 1 improved, 1 right." in page
    assert [row["kind"] for row in data_of(page)] == ["broken", "still wrong", "improved", "right"]
    # Also where no script runs.
    assert re.search(r"<del>alpha</del><ins>broken answer</ins>|<ins>broken answer</ins>", page)
    assert "Gate not passed" in page
    assert "Correct next tokens" not in page  # the history has no such tag
    assert page.count("<svg") == 1


def test_the_first_section_holds_the_model_against_what_takes_none(
    make_predictions, history, preprocess
):
    references = ["yes", "no"] * 10
    base = make_predictions(["x"] * 20, references, labels=["no", "yes"])
    tuned = make_predictions(["yes"] * 20, references, labels=["no", "yes"])
    training = preprocess("train", [("Is it?", "yes")] * 6 + [("Or not?", "no")] * 3)
    page = render_report(compare(base, tuned, training_records=training), history)
    first = page[page.index("<h2>") : page.index("<h2>Metrics")]
    assert first.startswith("<h2>Accuracy of the written answers</h2>")
    rows = re.findall(
        r"<tr><td>(.*?)</td>.*?<b>(.*?)</b>.*<td class=\"(.*?)\">(.*?)</td></tr>", first
    )
    assert rows == [
        ("tuned model", "0.5", "muted", ""),
        ("base model", "0", "good", "tuned is better"),
        ("majority answer", "0.5", "bad", "tuned is not above"),
        ("copied input", "0", "good", "tuned is above"),
        ("nearest example", "0.5", "bad", "tuned is not above"),
    ]
    assert page.count('class="problem error"') == 3
    assert "Always the same answer." in page
    assert '<p class="verdict bad">' in page


def test_classification_has_a_matrix_and_a_table_of_labels(make_predictions, history):
    labels = ["no", "yes"]
    base = make_predictions(["no", "no"], labels, labels=labels)
    tuned = make_predictions(labels, labels, labels=labels)
    page = render_report(compare(base, tuned), history)
    assert "Confusion matrix" in page
    assert "F1 tuned" in page
    assert "Area under ROC" in page


def test_rows_of_other_people_are_escaped(make_predictions, history):
    attack = "</script><script>alert(1)</script><!--"
    predictions = make_predictions([attack], [attack + "!"], source_uri=attack)
    page = render_report(compare(predictions, predictions), history)
    assert "alert(1)</script>" not in page
    assert "<!--" not in page
    assert page.count("<script") == 2
    assert "&lt;script&gt;" in page
    [row] = data_of(page)
    assert row["base"] == attack


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
    page = render_report(compare(predictions, predictions), history)
    for text in (
        "3 answers did not end within 7 tokens (a rule)",
        "12 prompts are too long and cut (lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …)",
        "1 reference is too long and cut (lines 4)",
        "5 prompts are equal to an earlier one",
        "1 answer is empty",
        "ROUGE sees nothing in 1 reference:",
        "BLEU counts runs of 4 words",
    ):
        assert text in page


def test_models_that_computed_otherwise_are_told(make_predictions, history):
    short = make_predictions(["a", "b"], ["a", "b"], precision="bfloat16", device="cuda")
    long = make_predictions(["a", "b"], ["a", "b"], precision="float32", device="cpu")
    told = "The base model answered in bfloat16 on cuda, the tuned model in float32 on cpu"
    assert told in render_report(compare(short, long), history)
    assert "The base model answered" not in render_report(compare(long, long), history)


def test_without_an_evaluation_set_the_page_says_so_and_shows_the_curves(history):
    empty = PredictionSet(PredictionInfo())
    page = render_report(compare(empty, empty, Criteria(gate=Gate("bleu", 1.0))), history)
    assert "There was no evaluation set" in page
    assert page.count("<svg") == 1
    assert "Answers" not in page
