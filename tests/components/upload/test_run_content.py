from __future__ import annotations

import json
import math
from pathlib import Path

from kfp_llm_tuning.components.upload.run_content import (
    CurvePoint,
    final_metrics,
    read_curves,
    run_parameters,
)


def test_parameters_are_flat_and_without_metrics() -> None:
    provenance = {
        "steps": 3,
        "revision": None,
        "parameters": {"seed": 0, "rates": {"peak": 0.1}},
        "metrics": {"loss": 1.0},
        "languages": ["en"],
    }
    assert run_parameters(provenance) == {
        "steps": "3",
        "parameters/seed": "0",
        "parameters/rates/peak": "0.1",
    }


def test_metrics_of_base_and_tuned_model_stand_side_by_side() -> None:
    provenance = {"metrics": {"/eval_total_loss": 2, "finished": True, "note": "x"}}
    evaluation = {
        "examples": 3,
        "metrics": {
            "bleu": {"base": 1.0, "tuned": 2, "base_interval": [0.5, 1.5], "verdict": "better"},
            "perplexity": {"base": None, "tuned": 4.0},
        },
        "base": {"empty": 1},
    }
    assert final_metrics(provenance, evaluation) == {
        "tuning/eval_total_loss": 2.0,
        "base/bleu": 1.0,
        "tuned/bleu": 2.0,
        "tuned/perplexity": 4.0,
    }


def test_every_logged_value_is_a_point(tmp_path: Path) -> None:
    first = {"step": 1, "wall_time": 1e9, "/train_total_loss": 2.5, "learning_rate": 1}
    lines = [first, {"step": 2, "memory": 7}]
    text = "\n".join(map(json.dumps, lines)) + '\n\n{"step": 3, "loss": NaN}\n'
    (tmp_path / "history.jsonl").write_text(text)
    points = read_curves(tmp_path)
    assert points[:3] == [
        CurvePoint("train_total_loss", 2.5, 1, 1e9),
        CurvePoint("learning_rate", 1.0, 1, 1e9),
        CurvePoint("memory", 7.0, 2, None),
    ]
    assert math.isnan(points[3].value)


def test_no_history_is_no_curve(tmp_path: Path) -> None:
    assert read_curves(tmp_path) == []
