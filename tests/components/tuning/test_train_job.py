"""The TrainJob of the tuner's task, on a Kubeflow Trainer that runs its nodes as processes."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kfp_llm_tuning.components.common import kubernetes_objects
from kfp_llm_tuning.components.common.errors import RunAgain, UserError
from kfp_llm_tuning.components.common.images import image_name
from kfp_llm_tuning.components.tuning import train_job
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.places import TuningPlaces
from kfp_llm_tuning.components.tuning.train_job import tune_in_train_job
from kfp_llm_tuning.components.tuning.train_job_manifest import TrainJobSettings
from tests.components.tuning.runs import Run, assert_close_history, wait_for
from tests.components.upload.kserve_cluster import CUT, Fault
from tests.kubeflow.local_trainer import LocalTrainer, local_trainer

SETTINGS = TrainJobSettings(
    image_name("python", "registry.test"), "torch-distributed", queue="gpus"
)
ARGUMENTS = TuningArguments("byte-tiny", train_steps=1000)
# A tuner that is quick: each node says that it was there, the first writes what comes of it.
SMALL = """
import json, os, pathlib, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
shared = pathlib.Path(options["--output"]).parent
assert (shared / "train" / "rows").read_text() == "train", options
shared.parent.joinpath("node-" + os.environ["PET_NODE_RANK"]).touch()
if (shared.parent / "wait").exists() and not (shared.parent / "go").exists():
    import time
    while not (shared.parent / "go").exists():
        time.sleep(0.02)
if (shared.parent / "fail").exists():
    sys.exit(13)
if os.environ["PET_NODE_RANK"] == "0":
    for name in ("output", "metrics"):
        (shared / name).mkdir(exist_ok=True)
    entry = {"step": 2, "/train_total_loss": 0.5, "tokens_per_second": 100.0}
    entry["/train_fraction_of_correct_next_step_preds"] = 0.75
    (shared / "metrics" / "history.jsonl").write_text(json.dumps(entry) + "\\n{half")
    facts = {"nodes": os.environ["PET_NNODES"], "run": os.environ["KFP_RUN_ID"]}
    (shared / "output" / "tuning.json").write_text(json.dumps(facts))
"""


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalTrainer]:
    with local_trainer(tmp_path / "cluster") as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig))
        monkeypatch.setenv("KFP_RUN_ID", "run-1")
        monkeypatch.setattr(train_job, "_PAUSE", 0.02)
        monkeypatch.setattr(kubernetes_objects, "_PAUSES", (0.01,) * 4)
        yield running


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TuningPlaces:
    """Where the small tuner, and the task that watches it, read and write."""
    (tmp_path / "small_tuner.py").write_text(SMALL, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(train_job, "MODULE", "small_tuner")
    for name in ("train", "evaluation"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows").write_text(name, encoding="utf-8")
    (tmp_path / "checkpoints").mkdir()
    return TuningPlaces(
        train_dataset=str(tmp_path / "train"),
        evaluation_dataset=str(tmp_path / "evaluation"),
        output=str(tmp_path / "model"),
        metrics=str(tmp_path / "metrics"),
        checkpoints=str(tmp_path / "checkpoints"),
    )


def tune(places: TuningPlaces, machines: int = 2) -> dict[str, Any]:
    return tune_in_train_job(SETTINGS, ARGUMENTS, places, machines)


def assert_done_once(trainer: LocalTrainer, places: TuningPlaces) -> None:
    assert len(trainer.made) == 1
    assert trainer.jobs == {}
    assert json.loads((Path(places.output) / "tuning.json").read_text())["nodes"] == "2"
    assert not (Path(places.checkpoints) / "train-job").exists()


def test_a_job_of_two_nodes_is_made_watched_and_deleted(
    trainer: LocalTrainer, places: TuningPlaces, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert tune(places) == {"nodes": "2", "run": "run-1"}
    assert_done_once(trainer, places)
    (job,) = trainer.made
    assert job["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "gpus"}
    assert job["spec"]["trainer"]["numNodes"] == 2
    assert len(list(Path(places.checkpoints).glob("node-*"))) == 2
    assert "step 2/1000 | loss 0.5000 | correct 0.750 | 100 tok/s" in caplog.text
    assert "Complete" in caplog.text


# Every call of the API, with every fault that may pass: refused, or done and the answer lost.
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "status", [429, 503, *(pytest.param(one, marks=pytest.mark.slow) for one in (500, CUT))]
)
@pytest.mark.parametrize("done", [False, True])
def test_a_fault_that_passes_makes_no_second_job(
    method: str, status: int, done: bool, trainer: LocalTrainer, places: TuningPlaces
) -> None:
    trainer.faults = [Fault(method, status, done=done)]
    tune(places)
    assert trainer.faults == []
    assert_done_once(trainer, places)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_refusal_is_told_and_the_next_try_is_whole(
    method: str, trainer: LocalTrainer, places: TuningPlaces
) -> None:
    trainer.faults = [Fault(method, 403, "User cannot do that")]
    with pytest.raises(UserError, match="trainjobs.trainer.kubeflow.org"):
        tune(places)
    tune(places)
    assert_done_once(trainer, places)


def test_without_the_trainer_it_is_told_what_to_install(
    trainer: LocalTrainer, places: TuningPlaces
) -> None:
    trainer.installed = False
    with pytest.raises(UserError, match="Install Kubeflow Trainer 2.2 or newer"):
        tune(places)


def test_a_task_that_was_killed_finds_its_job(
    trainer: LocalTrainer, places: TuningPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path(places.checkpoints) / "wait").touch()
    with monkeypatch.context() as killed:
        killed.setattr(train_job, "_wait", lambda *_: sys.exit(137))
        with pytest.raises(SystemExit):
            tune(places)
    # The second try stages anew in a folder of its own, as another pod would.
    (Path(places.checkpoints) / "go").touch()
    tune(dataclasses.replace(places, output=f"{places.output}-2"))
    assert len(trainer.made) == 1
    assert (Path(f"{places.output}-2") / "tuning.json").exists()


def test_a_job_that_failed_is_told_and_made_anew(
    trainer: LocalTrainer, places: TuningPlaces
) -> None:
    (Path(places.checkpoints) / "fail").touch()
    with pytest.raises(UserError, match=r"failed: JobsEnded: node \d ended with 13"):
        tune(places)
    (Path(places.checkpoints) / "fail").unlink()
    tune(places)
    assert len(trainer.made) == 2
    assert trainer.jobs == {}


def test_another_number_of_nodes_is_another_job(
    trainer: LocalTrainer, places: TuningPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(train_job, "_wait", lambda *_: sys.exit(137))
        with pytest.raises(SystemExit):
            tune(places, machines=3)
    assert tune(places)["nodes"] == "2"
    assert [job["spec"]["trainer"]["numNodes"] for job in trainer.made] == [3, 2]


def test_a_task_that_is_asked_to_end_takes_its_job_along(
    trainer: LocalTrainer, places: TuningPlaces
) -> None:
    (Path(places.checkpoints) / "wait").touch()

    def end() -> None:
        while not list(Path(places.checkpoints).glob("node-*")):
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    with pytest.raises(RunAgain, match="received SIGTERM; the TrainJob is deleted"):
        tune(places)
    assert trainer.jobs == {}


@pytest.mark.slow
@pytest.mark.parametrize("lost", [None, 0, 1])
def test_the_tuner_itself_on_two_nodes_one_of_which_is_lost(
    lost: int | None,
    trainer: LocalTrainer,
    make_run: Callable[..., Run],
    whole_run: Run,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run = make_run()
    places = TuningPlaces(
        **{name: str(path) for name, path in dataclasses.asdict(run.paths).items()}
    )

    def lose() -> None:
        while not trainer.nodes:
            time.sleep(0.01)
        (processes,) = trainer.nodes.values()
        process = processes[lost or 0]
        wait_for(run.paths.checkpoints / "step-2" / "complete.json", "files", process)  # type: ignore[arg-type]
        os.killpg(process.pid, signal.SIGKILL)

    if lost is not None:
        threading.Thread(target=lose, daemon=True).start()
    with caplog.at_level(logging.INFO):
        facts = tune_in_train_job(SETTINGS, run.arguments(), places, 2)
    assert facts["steps"] == 12
    assert_close_history(run, whole_run)
    (job,) = trainer.made
    assert job["status"]["trainerStatus"]["progressPercentage"] == 100
    assert "% done" in caplog.text
    assert trainer.jobs == {}
