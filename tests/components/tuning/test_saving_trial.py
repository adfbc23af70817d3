"""What cannot be saved after training is told before the first step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.tuning import tune as tune_module
from kfp_llm_tuning.components.tuning.torch_engine.trainer import LabelOnlyTrainer
from kfp_llm_tuning.components.tuning.tune import tune
from tests.components.tuning.runs import Run

UNSAVABLE = {"temperature": 0.9, "top_p": 0.6, "do_sample": False, "output_scores": True}


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, encoded: Callable[..., Path], train_folder: Path) -> Run:
    """A run of a base model of the test's own, without evaluation."""
    model = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    return Run(tmp_path / "run", model, train_folder, None)


def test_settings_that_cannot_be_saved_are_dropped_and_told(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "base/generation_config.json").write_text(json.dumps(UNSAVABLE | {"top_k": 50}))
    caplog.set_level("INFO")
    run.tune(train_steps=1)
    assert "cannot be saved: temperature, top_p, output_scores" in caplog.text
    saved = json.loads((run.paths.output / "generation_config.json").read_text())
    assert not saved.keys() & {"temperature", "top_p", "output_scores"}
    assert (saved["eos_token_id"], saved["max_new_tokens"]) == (2, 16)


def test_a_place_that_cannot_be_written_to_is_told_before_training(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_module, "_train", lambda *_: pytest.fail("it has trained"))
    (tmp_path / "file").touch()
    paths = type(run.paths)(**{**vars(run.paths), "output": tmp_path / "file/model"})
    with pytest.raises(UserError, match=r"cannot write to .*/file"):
        tune(run.arguments(), paths)


def test_a_base_that_cannot_be_tuned_is_told_before_it_is_loaded(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_module, "prepare_run", lambda *_: pytest.fail("it was loaded"))
    path = tmp_path / "base/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "is_encoder_decoder": True}))
    with pytest.raises(UserError, match="encoder-decoder"):
        run.tune()


def test_an_export_that_fails_loses_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tune_module, "export_model", fail)
        with pytest.raises(UserError) as caught:
            run.tune(train_steps=2)
    assert "cannot save the model: No space left on device" in str(caught.value)
    assert f"its end is kept in {run.paths.checkpoints}" in str(caught.value)
    monkeypatch.setattr(LabelOnlyTrainer, "run", lambda *_: pytest.fail("trained"))
    run.tune(train_steps=2)
    assert (run.paths.output / "model.safetensors").is_file()
