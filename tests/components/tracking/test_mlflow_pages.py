"""Addresses within MLflow's user interface."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from kfp_llm_tuning.components.tracking.mlflow_pages import chart_of_runs_below


def test_the_chart_of_the_runs_below_a_run() -> None:
    page = chart_of_runs_below("7", "ab12")
    assert not set(page) & set(" '`()")  # a link in Markdown ends at some of them
    address = urlsplit(urlsplit(page).fragment)
    assert address.path == "/experiments/7/runs"
    assert parse_qs(address.query) == {
        "workflowType": ["machine_learning"],
        "compareRunsMode": ["CHART"],
        "searchFilter": ["tags.mlflow.parentRunId = 'ab12'"],
        "orderByKey": ["tags.`mlflow.runName`"],
        "orderByAsc": ["true"],
    }
