"""What a run's end tells of its evaluation, in words and in colour."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kfp_llm_tuning.pipelines.local_runs.run_summary import RunSummary, print_summary

METRIC = {"base": 0.0, "tuned": 0.4, "verdict": "better"}
EVALUATION: dict[str, Any] = {
    "headline": "Accuracy of the written answers 0.4 (base 0, majority answer 0.5): no better.",
    "tone": "bad",
    "examples": 20,
    "metrics": {"exact_match": METRIC, "bleu": METRIC},
    "alarms": [{"kind": "not_above_majority", "message": "[It] tells nothing apart."}],
    "failures": [],
    "gate": {"reason": "No gate was set."},
}


def printed(evaluation: dict[str, Any]) -> str:
    stream = io.StringIO()
    summary = RunSummary(
        evaluation=evaluation,
        provenance={},
        reports=(),
        tensorboard=Path("curves"),
        saved_model=Path("model"),
        model_resource_name="models/m@1",
        endpoint_resource_name="",
    )
    console = Console(file=stream, force_terminal=True, color_system="standard", width=200)
    print_summary(console, summary, "sqlite:///registry.db", 1.0)
    return stream.getvalue()


@pytest.mark.parametrize(("tone", "code"), [("good", "1;32"), ("muted", "1"), ("bad", "1;31")])
def test_the_verdict_comes_before_the_metrics_and_has_its_colour(tone: str, code: str) -> None:
    told = printed({**EVALUATION, "tone": tone})
    assert f"\x1b[{code}mAccuracy of the written answers 0.4" in told
    assert told.index("Accuracy") < told.index("tells nothing apart") < told.index("exact_match")
    assert told.index("exact_match") < told.index("bleu")
    assert "[It] tells nothing apart." in told


def test_without_an_evaluation_set_nothing_is_judged() -> None:
    told = printed({**EVALUATION, "examples": 0, "metrics": {}, "alarms": []})
    assert "nothing was compared" in told
    assert "Accuracy" not in told
