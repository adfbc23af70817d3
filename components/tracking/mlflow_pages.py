"""Addresses of pages in MLflow's user interface, relative to wherever that is served."""

from __future__ import annotations

from urllib.parse import quote, urlencode

# MLflow 3 opens with pages about calls of agents, which show nothing of a tuning run.
_MODEL_TRAINING = {"workflowType": "machine_learning"}


def chart_of_runs_below(experiment_id: str, run_id: str) -> str:
    """Addresses the charts in which the runs below a run stand side by side.

    Args:
        experiment_id: MLflow's number of the experiment.
        run_id: MLflow's id of the run above them.

    Returns:
        What comes behind the server's address.
    """
    query = {
        **_MODEL_TRAINING,
        "compareRunsMode": "CHART",
        "searchFilter": f"tags.mlflow.parentRunId = '{run_id}'",
        # In any order but that of time; in that MLflow folds them into the run above.
        "orderByKey": "tags.`mlflow.runName`",
        "orderByAsc": "true",
    }
    return f"#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"
