from __future__ import annotations

import json

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.evaluation.artifacts import (
    PredictionInfo,
    PredictionSet,
    read_predictions,
    write_predictions,
)
from kfp_llm_tuning.components.evaluation.comparison import Criteria
from kfp_llm_tuning.components.evaluation.evaluate import Copies, evaluate_model, flat_metrics
from kfp_llm_tuning.components.evaluation.gate import Gate


def test_writes_figures_and_page(make_predictions, history_folder, tmp_path):
    references = ["one", "two"]
    base = make_predictions(["x", "y"], references, log_likelihood=-5000.0)
    tuned = make_predictions(references, references)
    for name, predictions in (("base", base), ("tuned", tuned)):
        write_predictions(tmp_path / name, predictions)
        assert read_predictions(tmp_path / name) == predictions
    found = evaluate_model(
        tmp_path / "base",
        tmp_path / "tuned",
        history_folder,
        tmp_path / "output",
        criteria=Criteria(gate=Gate("exact_match", 0.5)),
    )
    content = json.loads((tmp_path / "output/evaluation.json").read_text())
    assert content["examples"] == 2
    assert content["metrics"]["exact_match"]["tuned"] == 1.0
    assert content["metrics"]["exact_match"]["base_interval"] == {
        "low": 0.0,
        "high": pytest.approx(0.6576, abs=1e-4),
    }
    assert content["metrics"]["perplexity"]["base"] is None
    assert content["gate"] == {
        "metric": "exact_match",
        "threshold": 0.5,
        "passed": True,
        "reason": found.gate.reason,
    }
    assert content["tuned"]["info"]["model"] == "byte-tiny"
    assert "<!doctype html>" in (tmp_path / "output/report.html").read_text()
    assert content["headline"] == (
        "Token F1 1 (base 0, copied input 0): no clear difference from the base model."
    )
    primary = content["primary"]
    assert (primary["name"], primary["base"], primary["tuned"]) == ("token_f1", 0.0, 1.0)
    assert list(content["metrics"])[0] == "token_f1"
    assert primary["baselines"] == [
        {
            "name": "copied_input",
            "title": "copied input",
            "value": 0.0,
            "tuned": 1.0,
            "p_value": 0.5,
            "verdict": "not clearly above",
        }
    ]
    flat = flat_metrics(found)
    assert list(flat)[:3] == ["primary", "base_primary", "baseline_copied_input"]
    assert (flat["exact_match"], flat["base_exact_match"], flat["examples"]) == (1.0, 0.0, 2.0)
    assert "base_perplexity" not in flat  # infinite


@pytest.mark.parametrize("missing", ["info.json", "predictions.jsonl", "labels.jsonl"])
def test_a_folder_that_holds_no_predictions(make_predictions, tmp_path, missing):
    labels = ["no", "yes"]
    write_predictions(tmp_path, make_predictions(labels, labels, labels=labels))
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match="holds no predictions"):
        read_predictions(tmp_path)


def failed(name: str) -> PredictionSet:
    return PredictionSet(PredictionInfo(failure=f"The {name} model could not be asked: no memory."))


def test_a_failed_prediction_is_told_and_stands_against_a_gate_only(
    make_predictions, history_folder, tmp_path
):
    write_predictions(tmp_path / "base", make_predictions(["x"], ["x"]))
    write_predictions(tmp_path / "tuned", failed("tuned"))
    folders = (tmp_path / "base", tmp_path / "tuned", history_folder, tmp_path / "output")
    found = evaluate_model(*folders)
    assert found.gate.passed
    assert "also without an evaluation" in found.gate.reason
    content = json.loads((tmp_path / "output/evaluation.json").read_text())
    assert content["failures"] == ["The tuned model could not be asked: no memory."]
    assert (content["examples"], content["metrics"]) == (0, {})
    page = (tmp_path / "output/report.html").read_text()
    assert "The evaluation failed" in page
    assert "The tuned model could not be asked: no memory." in page
    gated = evaluate_model(*folders, criteria=Criteria(gate=Gate("bleu", 1.0)))
    assert not gated.gate.passed
    assert gated.gate.reason.endswith("The tuned model could not be asked: no memory.")


def test_a_comparison_that_fails_is_told_where_no_gate_needs_it(
    make_predictions, history_folder, tmp_path
):
    write_predictions(tmp_path / "base", make_predictions(["x"], ["x"]))
    write_predictions(tmp_path / "tuned", make_predictions(["x", "y"], ["x", "y"]))
    folders = (tmp_path / "base", tmp_path / "tuned", history_folder, tmp_path / "output")
    found = evaluate_model(*folders, continue_on_failure=True)
    assert found.gate.passed
    assert found.failures[0].startswith("The models could not be compared: ")
    with pytest.raises(UserError):
        evaluate_model(*folders)
    with pytest.raises(UserError):
        criteria = Criteria(gate=Gate("bleu"))
        evaluate_model(*folders, criteria=criteria, continue_on_failure=True)
    (history_folder / "history.jsonl").unlink()
    found = evaluate_model(*folders, continue_on_failure=True)
    assert "holds no training history" in found.failures[0]


def test_a_copy_that_cannot_be_written_is_told(make_predictions, history_folder, tmp_path):
    for name in ("base", "tuned"):
        write_predictions(tmp_path / name, make_predictions(["x"], ["x"]))
    (tmp_path / "file").touch()
    copies = Copies(str(tmp_path / "file"), "run-1")
    folders = (tmp_path / "base", tmp_path / "tuned", history_folder, tmp_path / "output")
    criteria = Criteria(gate=Gate("exact_match", 1.0))
    found = evaluate_model(*folders, criteria=criteria, copies=copies, continue_on_failure=True)
    assert found.gate.passed
    assert found.examples == 1
    assert "evaluation_output_root_dir" in found.failures[0]
    assert "was not copied" in (tmp_path / "output/report.html").read_text()
    with pytest.raises(UserError, match="evaluation_output_root_dir"):
        evaluate_model(*folders, copies=copies)
