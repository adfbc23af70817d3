"""What ``tune`` gives back; tests/pipelines/commands/test_run.py gets it from a whole run."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.pipelines.local_runs.run_summary import RunSummary
from kfp_llm_tuning.pipelines.python_call.tuned_run import TunedRun


@pytest.fixture
def run(tmp_path: Path) -> TunedRun:
    pages = tmp_path / "validation.html", tmp_path / "evaluation.html"
    for page in pages:
        page.write_text(f'<p class="{page.stem}">', encoding="utf-8")
    evaluation = {
        "examples": 12,
        "metrics": {"exact_match": {"base": 0.0, "tuned": 0.75}},
        "gate": {"reason": "Not good enough."},
        "headline": "Three times as good.",
        "alarms": [{"message": "One answer for all."}],
    }
    summary = RunSummary(evaluation, {}, pages, tmp_path, tmp_path / "m", "models/router@3", "")
    return TunedRun(tmp_path, "sqlite:////runs/mlflow.db", summary, 61.0)


def test_it_tells_figures_and_model(run: TunedRun) -> None:
    assert run.metrics.base == {"exact_match": 0.0}
    assert run.metrics.tuned[run.metrics.primary] == 0.75
    assert (run.model_name, run.model_version, run.registered) == ("router", 3, True)
    assert "exact_match 0 → 0.75" in str(run)
    assert (run.verdict, run.alarms) == ("Three times as good.", ("One answer for all.",))
    assert "<td>exact_match</td><td>0</td><td>0.75</td>" in run._repr_html_()
    assert run.serve_command == (
        "kfp-llm-tuning serve router@3 --registry-uri sqlite:////runs/mlflow.db"
    )


def test_a_refused_model_says_why_and_is_served_from_its_folder(run: TunedRun) -> None:
    summary = dataclasses.replace(run.summary, model_resource_name="")
    refused = dataclasses.replace(run, summary=summary)
    assert (refused.model_name, refused.model_version, refused.registered) == ("", None, False)
    assert "not registered: Not good enough." in str(refused)
    assert refused.serve_command == f"kfp-llm-tuning serve {refused.saved_model}"


def test_a_report_is_shown_in_a_frame_of_its_own(run: TunedRun) -> None:
    report = run.reports.evaluation
    assert 'srcdoc="&lt;p class=&quot;evaluation&quot;&gt;"' in report._repr_html_()
    assert os.fspath(report) == str(run.directory / "evaluation.html")


def test_texts_conversations_and_rows_are_asked(run: TunedRun) -> None:
    model = Mock()
    model.answer.side_effect = lambda asked, _: [
        Mock(content=f"{one.messages[-1].content}!") for one in asked
    ]
    run.__dict__["model"] = model
    talk = [{"author": "user", "content": "hello"}]
    assert run.predict("hi") == "hi!"
    assert run.predict(talk) == "hello!"
    openai = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]
    assert run.predict(openai) == "hello!"
    assert model.answer.call_args.args[0][0].context == "Be kind."
    assert run.predict(["hi", talk, {"input_text": "row", "output_text": "-"}]) == [
        "hi!",
        "hello!",
        "row!",
    ]
    with pytest.raises(UserError, match="5 asks nothing"):
        run.predict([5])
