"""Runs a local Kubeflow Pipelines until Ctrl-C: for curl, the kfp command and other processes.

Prints the lines that lead a shell's clients to it::

    python -m tests.kubeflow > kubeflow.env &
    source kubeflow.env
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import threading
from pathlib import Path

from tests.kubeflow.local_kubeflow import LocalKubeflow

_TICK_SECONDS = 1.0


def main(arguments: list[str] | None = None) -> None:
    """Run the server until the process is interrupted or terminated.

    Args:
        arguments: The command line; None means that of the process.
    """
    options = _parse(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="local-kubeflow-"))
    kubeflow = LocalKubeflow(folder, options.execute, options.port)
    kubeflow.backend.token = options.token
    if options.namespace:
        kubeflow.backend.multi_user, kubeflow.backend.namespaces = True, set(options.namespace)
    for name, value in kubeflow.environment().items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.write(f"# Files in {folder}; ends with Ctrl-C.\n")
    sys.stdout.flush()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(_TICK_SECONDS):
        kubeflow.clock.advance()
    kubeflow.close()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.kubeflow", description=__doc__)
    parser.add_argument("--folder", type=Path, help="for the runs' files (default: a new one)")
    parser.add_argument("--execute", action="store_true", help="really run pipelines")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--token", default="", help="what calls must bear")
    parser.add_argument(
        "--namespace", action="append", default=[], help="serve many users; one that they may use"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
