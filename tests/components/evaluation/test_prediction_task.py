from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from kfp_llm_tuning.components.common.errors import RunAgain, UserError
from kfp_llm_tuning.components.evaluation.artifacts import read_predictions
from kfp_llm_tuning.components.evaluation.prediction_task import Command, PredictionTask, predict


class Never(Command):
    def run(self) -> int:
        raise AssertionError("there is nothing to predict")


def task_of(records, output, **changes) -> PredictionTask:
    return PredictionTask(str(records), str(records), str(output), **changes)


def test_nothing_is_run_where_there_is_nothing_to_predict(preprocess, tmp_path):
    records, output = preprocess("none", []), tmp_path / "predictions"
    assert predict(task_of(records, output), records, output, Never([])).examples == 0
    assert read_predictions(output).info.failure == ""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL: memory may have run out"),
        ("raise SystemExit(3)", "ended with exit code 3"),
    ],
)
def test_whatever_befalls_the_command_is_written_down(preprocess, tmp_path, code, reason):
    records, output = preprocess("rows", [("a", "b")]), tmp_path / "predictions"
    command = Command(["-c", code])
    going_on = task_of(records, output, saved_model="model", continue_on_failure=True)
    info = predict(going_on, records, output, command)
    assert reason in info.failure
    assert "The tuned model could not be asked" in info.failure
    assert read_predictions(output).info == info
    with pytest.raises(UserError, match=reason):
        predict(task_of(records, output), records, output, command)


def test_a_mistake_that_the_command_has_told_is_not_told_again(preprocess, tmp_path):
    records = preprocess("rows", [("a", "b")])
    with pytest.raises(SystemExit, match="13"):
        predict(
            task_of(records, tmp_path), records, tmp_path, Command(["-c", "raise SystemExit(13)"])
        )


def test_a_cancelled_task_is_no_failed_evaluation(preprocess, tmp_path):
    records, output = preprocess("rows", [("a", "b")]), tmp_path / "predictions"
    begun = tmp_path / "begun"
    command = Command(
        ["-c", f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"]
    )

    def cancel() -> None:
        while not begun.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=cancel).start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RunAgain):
        predict(task_of(records, output, continue_on_failure=True), records, output, command)
    assert not output.exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_command_writes_down_what_it_ran_into(preprocess, tmp_path):
    records, output = preprocess("rows", [("a", "b")]), tmp_path / "predictions"
    task = task_of(
        records, output, saved_model=str(tmp_path / "no-model"), continue_on_failure=True
    )
    done = subprocess.run([sys.executable, *task.arguments()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    failure = json.loads((output / "info.json").read_text())["failure"]
    assert failure.startswith("The tuned model could not be asked: saved_model: ")
    assert "no-model is no tuned model" in failure
