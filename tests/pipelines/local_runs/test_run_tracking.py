"""The MLflow run of a run on this machine, from its first moment to its end."""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from rich.console import Console

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.components.common.registry_location import REGISTRY_VARIABLE
from kfp_llm_tuning.components.tracking import sqlite_registry
from kfp_llm_tuning.components.tracking.connection import connect, experiment_id
from kfp_llm_tuning.components.tracking.tracked_run import PROBLEM_TAG
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.local_runs import run_directory
from kfp_llm_tuning.pipelines.local_runs.local_run import run_in


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refuse_unless(good: bool, registry_uri: str) -> None:
    from kfp_llm_tuning.components.common.errors import Problem, UserError, exit_on_error

    with exit_on_error():
        if not good:
            raise UserError(*(Problem("is wrong.", f"line {line}") for line in range(1, 8)))


def build(_: str, platform: Platform) -> BaseComponent:
    @dsl.pipeline(name="refusing")
    def refusing(model_display_name: str, good: bool, train_steps: int = 300) -> None:
        refuse_unless(good=good, registry_uri=platform.registry_uri)

    return refusing


def run(directory: Path) -> str:
    written = io.StringIO()
    run_in(directory, build, "resume", Console(file=written, width=200))
    return written.getvalue()


def the_run(output: Path) -> Any:
    client = connect(f"sqlite:///{output}/mlflow.db", create=False)
    (found,) = client.search_runs([experiment_id(client)])
    return found


def test_a_refused_run_is_visible_and_a_resumed_one_is_the_same(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    monkeypatch.setattr(
        sqlite_registry, "_make", lambda aside, database: shutil.copy(empty_database, aside)
    )
    parameters = {"good": False, "model_display_name": "intents"}
    directory = run_directory.create(tmp_path, "refusing", parameters)
    run(directory)
    refused = the_run(tmp_path)
    assert refused.info.run_name == "intents"
    assert refused.info.status == "FAILED"
    assert refused.data.params["train_steps"] == "300"
    assert refused.data.tags[PROBLEM_TAG].splitlines() == [
        "refuse-unless failed",
        *(f"line {line}: is wrong." for line in range(1, 6)),
        "and 2 more",
    ]
    run(directory)
    assert the_run(tmp_path).info.run_id == refused.info.run_id


def test_a_registry_that_is_down_is_told_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REGISTRY_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    directory = run_directory.create(
        tmp_path, "refusing", {"good": True, "model_display_name": "intents"}
    )
    told = run(directory)
    assert "MLflow does not follow this run as it goes on" in told
    assert "cannot open the registry" in told
