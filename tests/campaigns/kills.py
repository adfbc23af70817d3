"""Kills runs at random moments of their whole life, and compares what comes of them.

Every run must end with the weights and metrics of one that was left alone, with exactly one
registered version, and with one MLflow run in which no step of a curve stands twice. Each output
folder is new, so that first uploads are killed too, and every third is shared by two runs. 200
kills take about half an hour on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from rich.console import Console
from rich.table import Table

from kfp_llm_tuning.components.common.registry_location import default_registry_uri
from kfp_llm_tuning.components.tracking.connection import connect, experiment_id
from kfp_llm_tuning.components.tracking.tracked_run import RUN_TAG
from kfp_llm_tuning.components.upload.labels import RUN_LABEL
from tests.campaigns.killed_run import (
    METHODS,
    KilledRun,
    Moment,
    Timeline,
    left_behind,
    write_data,
)

_KILLS_A_RUN = 10
# Each fourth kill falls into the upload, which is short and writes what all runs share, and as many
# into the beginning, when the registry is made and the MLflow run opened.
_UPLOAD, _UPLOAD_SHARE, _BEGINNING_SHARE = "upload-llm-model", 0.25, 0.25
_SHARED_EVERY = 3


@dataclass(frozen=True)
class Outcome:
    """What a run leaves.

    Attributes:
        weights: SHA-256 of the registered model's weights.
        metrics: Of its evaluation.
    """

    weights: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Folder:
    """An output folder after its runs.

    Attributes:
        number: Of the folder.
        runs: What was done to each.
        faults: What is wrong with what they left.
    """

    number: int
    runs: Sequence[KilledRun]
    faults: Sequence[str]


class Campaign:
    """Kills runs until there were enough kills."""

    def __init__(self, root: Path, kills: int, seed: int) -> None:
        """Runs once undisturbed, to learn how long every task takes and what must come out."""
        self._root = root
        self._wanted = kills
        self._random = random.Random(seed)
        output = root / "reference"
        write_data(output)
        reference = KilledRun(output, "reference")
        self.timeline: Timeline = reference.timeline()
        if reference.faults:
            sys.exit(f"The undisturbed run {reference.faults}: see {output}.")
        self._expected, _ = _outcome(output, "reference")

    def folders(self, parallel: int) -> list[Folder]:
        """Kills runs, several folders side by side."""
        done: list[Folder] = []
        numbers = itertools.count(1)
        with ThreadPoolExecutor(parallel) as pool:
            # A run may be done before its last kills come: they are made up for.
            while (missing := self._wanted - _kills_of(done)) > 0:
                plans: list[list[list[tuple[Moment, str]]]] = []
                while missing > 0:
                    plans.append(self._plans(missing, shared=len(plans) % _SHARED_EVERY == 1))
                    missing -= sum(len(plan) for plan in plans[-1])
                done += pool.map(self._folder, itertools.islice(numbers, len(plans)), plans)
        return done

    def _plans(self, kills: int, shared: bool) -> list[list[tuple[Moment, str]]]:
        count = min(kills, _KILLS_A_RUN)
        if not shared:
            return [self._plan(count)]
        return [self._plan((count + 1) // 2), self._plan(count // 2)]

    def _plan(self, kills: int) -> list[tuple[Moment, str]]:
        moments = sorted(self._moment() for _ in range(kills))
        return [(moment, self._random.choice(list(METHODS))) for moment in moments]

    def _moment(self) -> Moment:
        span, share = (0.0, self.timeline.seconds), self._random.random()
        if share < _UPLOAD_SHARE:
            span = self.timeline.span(_UPLOAD)
        elif share < _UPLOAD_SHARE + _BEGINNING_SHARE:
            # The registry takes the first half of it, the run in it the second.
            span = (0.0, 2 * self.timeline.registry_made)
        return self.timeline.moment(self._random.uniform(*span))

    def _folder(self, number: int, plans: Sequence[Sequence[tuple[Moment, str]]]) -> Folder:
        output = self._root / str(number)
        write_data(output)
        runs = [KilledRun(output, f"model-{letter}") for letter in "ab"[: len(plans)]]
        with ThreadPoolExecutor(len(runs)) as pool:
            list(pool.map(KilledRun.live, runs, plans, itertools.repeat(self.timeline)))
        faults = [f"{run.name} {fault}" for run in runs for fault in run.faults]
        for run in runs:
            outcome, registered = _outcome(output, run.name)
            faults += [f"{run.name}: {fault}" for fault in registered]
            if not registered and outcome != self._expected:
                faults.append(f"{run.name} has other weights or metrics")
        faults += [f"left behind: {left}" for left in left_behind(output)]
        if not faults:
            shutil.rmtree(output)
        return Folder(number, runs, faults)


def _outcome(output: Path, name: str) -> tuple[Outcome, list[str]]:
    """Looks at what a run registered; says what is wrong with it."""
    versions = []
    if (output / "mlflow.db").is_file():
        client = connect(default_registry_uri(output), create=False)
        versions = client.search_model_versions(f"name = '{name}'")
    faults = []
    if [(str(version.version), version.status) for version in versions] != [("1", "READY")]:
        faults.append(f"has the versions {[(v.version, v.status) for v in versions]}")
        return Outcome("", {}), faults
    faults += _tracking_faults(client, versions[0].tags[RUN_LABEL])
    artifacts = output / "mlartifacts" / versions[0].run_id / "artifacts"
    evaluation = json.loads((artifacts / "reports/evaluation.json").read_text(encoding="utf-8"))
    weights = [_sha256(path) for path in artifacts.glob("model/*.safetensors")]
    return Outcome(",".join(weights), evaluation["metrics"]), faults


def _tracking_faults(client: MlflowClient, run_id: str) -> list[str]:
    """Says what is wrong with the MLflow run that was followed through all kills."""
    experiment = experiment_id(client)
    runs = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{run_id}'")
    if [run.info.status for run in runs] != ["FINISHED"]:
        return [f"has the MLflow runs {[(run.info.run_id, run.info.status) for run in runs]}"]
    history = client.get_metric_history(runs[0].info.run_id, "train_total_loss")
    steps = [point.step for point in history]
    if len(set(steps)) < len(steps):
        return [f"has logged a step of its loss twice: {steps}"]
    sides = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{runs[0].info.run_id}'")
    if len(sides) != len(("base", "tuned")):
        return [f"has {len(sides)} MLflow runs below it, not one for each model"]
    return []


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _kills_of(folders: Sequence[Folder]) -> int:
    return sum(len(run.kills) for folder in folders for run in folder.runs)


def _table(timeline: Timeline, folders: Sequence[Folder]) -> Table:
    """Counts kills by task and method, with the exit codes that the command ended with."""
    kills = [kill for folder in folders for run in folder.runs for kill in run.kills]
    table = Table("at work", *METHODS, "kills", title=f"{len(kills)} kills")
    for task, _ in timeline.starts:
        of_task = [kill for kill in kills if kill.task == task]
        cells = [
            _counted([kill.exit_code for kill in of_task if kill.method == method])
            for method in METHODS
        ]
        table.add_row(task, *cells, str(len(of_task)))
    return table


def _counted(exit_codes: Sequence[int]) -> str:
    counts = sorted(Counter(exit_codes).items())
    return ", ".join(f"{count} x exit {code}" for code, count in counts)


def main() -> None:
    """Runs the campaign; ends with exit code 1 where a run came out differently."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--parallel", type=int, default=2, help="Output folders at a time.")
    given = parser.parse_args()
    begun = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="kill-campaign-"))
    campaign = Campaign(root, given.kills, given.seed)
    folders = campaign.folders(given.parallel)
    console = Console(width=140)
    console.print(_table(campaign.timeline, folders))
    runs = sum(len(folder.runs) for folder in folders)
    faults = [(folder.number, fault) for folder in folders for fault in folder.faults]
    for number, fault in faults:
        console.print(f"{root / str(number)}: {fault}", style="red", soft_wrap=True)
    console.print(
        f"{_kills_of(folders)} kills (seed {given.seed}) of {runs} runs in {len(folders)} output "
        f"folders; {len(faults)} faults; {(time.monotonic() - begun) / 60:.1f} minutes."
    )
    if faults:
        sys.exit(1)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
