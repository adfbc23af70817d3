"""Runs a local Kubeflow Pipelines until Ctrl-C: for curl, the kfp command and other processes.

Prints the lines that lead a shell's clients to it::

    python -m tests.kubeflow > kubeflow.env &
    source kubeflow.env
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.kubeflow.local_kubeflow import LocalKubeflow
from tests.loopback_server import serve_until_interrupted


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
    serve_until_interrupted(kubeflow.environment(), f"Files in {folder}", kubeflow.clock.advance)
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
