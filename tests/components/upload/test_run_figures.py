"""What the MLflow run of a pipeline run shows of its figures."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mlflow import MlflowClient

from kfp_llm_tuning.components.tracking.connection import connect, experiment_id
from kfp_llm_tuning.components.tracking.tracked_run import SIDE_TAG, open_run
from kfp_llm_tuning.components.upload.mlflow_registry import Upload, register

NOTE = "mlflow.note.content"
HEADLINE = "Exact match 0.75 (base 0, majority answer 0.5)."


def evaluated(upload: Upload, **changes: Any) -> tuple[MlflowClient, Any, list[Any]]:
    """Registers an upload; gives the run that stands above, and those below it by name."""
    file = upload.evaluation / "evaluation.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "headline": HEADLINE, **changes}))
    register(upload)
    client = connect(upload.registry_uri)
    runs = client.search_runs([experiment_id(client)], order_by=["tags.`mlflow.runName` ASC"])
    (above,) = [run for run in runs if SIDE_TAG not in run.data.tags]
    return client, above, [run for run in runs if run is not above]


def test_the_description_leads_to_the_two_models_side_by_side(upload: Upload) -> None:
    client, above, below = evaluated(upload)
    assert [run.data.metrics for run in below] == [{"exact_match": 0.0}, {"exact_match": 0.75}]
    headline, link = above.data.tags[NOTE].split("\n\n")
    assert headline == HEADLINE
    page = urlsplit(urlsplit(link[link.index("(") + 1 : -1]).fragment)
    assert page.path == f"/experiments/{above.info.experiment_id}/runs"
    query = {name: value for name, (value,) in parse_qs(page.query).items()}
    found = client.search_runs(
        [above.info.experiment_id], query["searchFilter"], order_by=[f"{query['orderByKey']} ASC"]
    )
    assert [run.info.run_id for run in found] == [run.info.run_id for run in below]
    assert query["compareRunsMode"] == "CHART"


def test_what_people_have_written_stays(upload: Upload) -> None:
    begun = open_run(upload.registry_uri, upload.run_id, upload.display_name)
    begun.client.set_tag(begun.id, NOTE, "mine")
    _, above, _ = evaluated(upload)
    assert (above.info.run_id, above.data.tags[NOTE]) == (begun.id, "mine")


def test_where_nothing_was_evaluated_nothing_stands_side_by_side(upload: Upload) -> None:
    _, above, below = evaluated(upload, metrics={})
    assert below == []
    assert above.data.tags[NOTE] == HEADLINE
