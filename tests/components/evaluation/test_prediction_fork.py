from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from kfp_llm_tuning.components.common import forks
from kfp_llm_tuning.components.common.errors import RunAgain
from kfp_llm_tuning.components.evaluation import prediction_command, prediction_fork
from kfp_llm_tuning.components.evaluation.artifacts import PredictionInfo
from kfp_llm_tuning.components.evaluation.prediction_fork import ForkedCommand
from kfp_llm_tuning.components.evaluation.prediction_job import PredictionJob
from kfp_llm_tuning.components.evaluation.prediction_task import Command, PredictionTask, predict

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")


@pytest.fixture
def task(preprocess, tmp_path) -> PredictionTask:
    records = str(preprocess("rows", [("a", "b")]))
    return PredictionTask(
        records,
        records,
        str(tmp_path / "predictions"),
        saved_model=str(tmp_path / "no-model"),
        continue_on_failure=True,
    )


def carried_out(task: PredictionTask) -> PredictionInfo:
    return predict(task, Path(task.evaluation_records), Path(task.predictions), ForkedCommand(task))


def test_a_copy_does_what_a_command_does(task, capfd):
    failure = carried_out(task).failure
    assert "no-model is no tuned model" in failure
    assert "no-model is no tuned model" in capfd.readouterr().err


def killed(_: PredictionTask) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def failing(_: PredictionTask) -> None:
    sys.stderr.write("no such thing\n")
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (killed, "killed by SIGKILL: memory may have run out"),
        (failing, "ended with exit code 3. no such thing"),
    ],
)
def test_whatever_befalls_the_copy_is_written_down(task, monkeypatch, work, reason):
    monkeypatch.setattr(prediction_command, "carry_out", work)
    assert reason in carried_out(task).failure


def test_a_copy_ends_with_its_task(task, monkeypatch, tmp_path):
    begun = tmp_path / "begun"

    def sleeping(_: PredictionTask) -> None:
        time.sleep(0.3)  # Whoever waits for it must be ready to be asked to end.
        begun.touch()
        time.sleep(60)

    def cancel() -> None:
        while not begun.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(prediction_command, "carry_out", sleeping)
    threading.Thread(target=cancel).start()
    with pytest.raises(RunAgain):
        carried_out(task)


@pytest.mark.parametrize(
    ("imported", "threads", "kind"),
    [("json", 1, ForkedCommand), ("json", 2, Command), ("no.such.module", 1, Command)],
)
def test_a_process_is_copied_where_that_is_safe_and_saves_imports(
    task, monkeypatch, tmp_path, imported, threads, kind
):
    monkeypatch.setattr(prediction_fork, "_NEEDED", imported)
    monkeypatch.setattr(forks, "threads", lambda: threads)
    assert type(PredictionJob("").command(task, tmp_path, "run")) is kind
