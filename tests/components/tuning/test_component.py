import json
from pathlib import Path

import pytest
from kfp import dsl, local

from kfp_llm_tuning.components.tuning import large_language_model_tuner
from kfp_llm_tuning.components.tuning.arguments import TuningArguments


@pytest.mark.slow
def test_the_component_tunes_under_kfp_local(
    tmp_path: Path,
    tiny_model: Path,
    train_folder: Path,
    evaluation_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    local.init(
        runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "outputs")
    )

    @dsl.pipeline(name="tune")
    def pipeline(payload: str, train: str, evaluation: str, checkpoints: str) -> None:
        train_set = dsl.importer(artifact_uri=train, artifact_class=dsl.Dataset)
        evaluation_set = dsl.importer(artifact_uri=evaluation, artifact_class=dsl.Dataset)
        large_language_model_tuner(
            payload=payload,
            train_dataset=train_set.output,
            evaluation_dataset=evaluation_set.output,
            checkpoint_directory=checkpoints,
            checkpoint_folder="run-1",
        )

    payload = TuningArguments(
        str(tiny_model), tuning="full", train_steps=3, batch_size=4, logging_interval=1
    ).to_json()
    pipeline(
        payload=payload,
        train=str(train_folder),
        evaluation=str(evaluation_folder),
        checkpoints=str(tmp_path / "checkpoints"),
    )
    (saved,) = (tmp_path / "outputs").rglob("tuning.json")
    assert json.loads(saved.read_text())["steps"] == 3
    assert (saved.parent / "model.safetensors").exists()
    (history,) = (tmp_path / "outputs").rglob("history.jsonl")
    assert len(history.read_text().splitlines()) == 4
    assert (tmp_path / "checkpoints" / "run-1" / "step-3" / "complete.json").exists()
