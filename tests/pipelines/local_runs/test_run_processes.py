"""Processes that a killed run left behind; those of a whole run are in test_local_runner.py."""

import os
import subprocess
import time
from pathlib import Path

from kfp_llm_tuning.pipelines.local_runs.run_processes import RUN_VARIABLE, stop_left_behind


def test_processes_of_other_runs_are_left_alone(tmp_path: Path) -> None:
    environment = {**os.environ, RUN_VARIABLE: str(tmp_path / "other")}
    with subprocess.Popen(["sleep", "60"], env=environment) as process:
        time.sleep(0.1)
        assert stop_left_behind(tmp_path / "run") == 0
        assert process.poll() is None
        assert stop_left_behind(tmp_path / "other") == 1
