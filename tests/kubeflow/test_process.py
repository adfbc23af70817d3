"""``python -m tests.kubeflow`` for other processes: here the command that kfp ships."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
KFP = Path(sys.executable).with_name("kfp")


def test_kfp_s_own_command(tmp_path: Path, package: Path) -> None:
    command = [sys.executable, "-m", "tests.kubeflow", "--folder", str(tmp_path), "--token", "x"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            found = re.match(r"export KF_PIPELINES_ENDPOINT=(\S+)", server.stdout.readline())
            assert found
            words = ["--endpoint", found[1], "--existing-token", "x", "--output", "json"]
            made = subprocess.run(
                [str(KFP), *words, "pipeline", "create", str(package)],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "HOME": str(tmp_path)},
            )
            assert '"name": "demo"' in made.stdout
        finally:
            server.terminate()
        assert server.wait(timeout=30) == 0
