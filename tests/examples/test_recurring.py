"""A recurring run tunes on rows that no run has tuned on, on the model of the last one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import EXIT_USER_ERROR
from kfp_llm_tuning.pipelines.registries import deployed_version
from tests.examples.conftest import ExampleRun, Place


def run(place: Place) -> ExampleRun:
    inputs = {
        "dataset_uri": "growing.jsonl",
        "evaluation_data_uri": place.data("evaluation", 10),
        "state_uri": "state.json",
        "train_steps": 3,
    }
    return place.run("recurring", inputs)


def grow(place: Place, begin: int, count: int) -> None:
    with (place.folder / "growing.jsonl").open("a", encoding="utf-8") as stream:
        stream.writelines(f"{row}\n" for row in place.rows("train", count, begin))


def state(place: Place) -> dict[str, object]:
    document: dict[str, object] = json.loads((place.folder / "state.json").read_text())
    return document


@pytest.mark.slow
def test_a_run_without_new_rows_ends_quietly(place: Place) -> None:
    grow(place, 0, 24)
    first = run(place)
    assert first.exit_code == 0, first.printed
    assert first.tasks[-1] == "remember-rows"
    assert state(place)["model"] == "models/support-router@1"
    grow(place, 24, 9)
    second = run(place)
    assert second.exit_code == 0, second.printed
    assert second.tasks == ["find-new-rows"]
    assert "9 new rows; 10 are needed." in second.printed
    assert deployed_version(place.registry_uri, "support-router").version == 1


@pytest.mark.slow
def test_new_rows_are_tuned_on_what_older_ones_left(place: Place) -> None:
    grow(place, 0, 24)
    assert run(place).exit_code == 0
    grow(place, 24, 16)
    second = run(place)
    assert second.exit_code == 0, second.printed
    new = second.output("find-new-rows", "rows") / "new.jsonl"
    assert new.read_text(encoding="utf-8").splitlines() == place.rows("train", 16, 24)
    assert "Tuning on from models/support-router@1." in second.printed
    model = second.output("large-language-model-tuner", "saved_model")
    provenance = json.loads((model / "tuning.json").read_text(encoding="utf-8"))
    assert "mlartifacts" in provenance["model_reference"]
    assert state(place)["model"] == "models/support-router@2"


def test_rows_that_changed_are_refused(place: Place) -> None:
    grow(place, 0, 24)
    path = place.folder / "growing.jsonl"
    seen = {"bytes": 100, "sha256": "0" * 64}
    (place.folder / "state.json").write_text(json.dumps(seen))
    done = run(place)
    assert done.exit_code == EXIT_USER_ERROR
    assert "rows that were tuned on have changed" in done.printed
    assert done.tasks == ["find-new-rows"]
    assert Path(path).is_file()
