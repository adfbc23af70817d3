from __future__ import annotations

import json

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.evaluation.artifacts import read_predictions, write_predictions
from kfp_llm_tuning.components.evaluation.evaluate import evaluate_model, flat_metrics


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
        gate_metric="exact_match",
        gate_threshold=0.5,
    )
    content = json.loads((tmp_path / "output/evaluation.json").read_text())
    assert content["examples"] == 2
    assert content["metrics"]["exact_match"]["tuned"] == 1.0
    assert content["metrics"]["exact_match"]["base_interval"] == {"low": 0.0, "high": 0.0}
    assert content["metrics"]["perplexity"]["base"] is None
    assert content["gate"] == {
        "metric": "exact_match",
        "threshold": 0.5,
        "passed": True,
        "reason": found.gate.reason,
    }
    assert content["tuned"]["info"]["model"] == "byte-tiny"
    assert "<!doctype html>" in (tmp_path / "output/report.html").read_text()
    flat = flat_metrics(found)
    assert (flat["exact_match"], flat["base_exact_match"], flat["examples"]) == (1.0, 0.0, 2.0)
    assert "base_perplexity" not in flat  # infinite


@pytest.mark.parametrize("missing", ["info.json", "predictions.jsonl", "labels.jsonl"])
def test_a_folder_that_holds_no_predictions(make_predictions, tmp_path, missing):
    labels = ["no", "yes"]
    write_predictions(tmp_path, make_predictions(labels, labels, labels=labels))
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match="holds no predictions"):
        read_predictions(tmp_path)
