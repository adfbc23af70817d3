"""Child processes of the runs: their environment and their end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from kfp_llm_tuning.pipelines.local_runs.run_processes import kill, terminate

# On Vertex AI the default project of a task is one of Google's.
TENANT_PROJECT = "tenant-project"


def container_environment(
    environment: Mapping[str, str], image: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Makes the environment of a container's command, which runs as a process of this machine.

    Args:
        environment: The variables that redirect it to the local Vertex AI, and others.
        image: Those of its image, where that has an environment of its own.

    Returns:
        Those of this process and the given ones; ``python3`` is this Python, and the default
        project is none of the user's.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        **image,
        **environment,
        "PATH": image.get("PATH", path),
        "GOOGLE_CLOUD_PROJECT": TENANT_PROJECT,
    }


def end_tree(process: subprocess.Popen[Any], patience_seconds: float) -> None:
    """Ends a process and all that it started: asks first, and kills what does not end."""
    with contextlib.suppress(psutil.NoSuchProcess):
        outer = psutil.Process(process.pid)
        members = [outer, *outer.children(recursive=True)]
        terminate(members)
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Not psutil's wait, which would take the exit code from Popen.
            process.wait(patience_seconds)
        kill(members)


def last_lines(log: Path, count: int = 20) -> str:
    """Returns the end of a log, for an error message."""
    if not log.is_file():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
