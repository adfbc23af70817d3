"""Runs a local Vertex AI until Ctrl-C: for curl, Node and clients in other environments.

Prints the lines that redirect a shell to it::

    python -m tests.vertex --bucket my-bucket > vertex.env &
    source vertex.env
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.loopback_server import serve_until_interrupted
from tests.vertex.local_vertex import LocalVertex


def main(arguments: list[str] | None = None) -> None:
    """Run the servers until the process is interrupted or terminated.

    Args:
        arguments: The command line; None means that of the process.
    """
    options = _parse(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="local-vertex-"))
    vertex = LocalVertex(folder, options.execute, options.rest_port, options.grpc_port)
    for bucket in options.bucket:
        vertex.storage.create_bucket(bucket)
    for template in options.template:
        uri, _, path = template.rpartition("=")
        vertex.templates[uri] = Path(path)
    serve_until_interrupted(
        vertex.environment(), f"Project {vertex.project}; files in {folder}", vertex.clock.advance
    )
    vertex.close()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.vertex", description=__doc__)
    parser.add_argument("--folder", type=Path, help="for buckets and runs (default: a new one)")
    parser.add_argument("--execute", action="store_true", help="really run pipelines and jobs")
    parser.add_argument("--rest-port", type=int, default=0, help="default: a free one")
    parser.add_argument("--grpc-port", type=int, default=0, help="default: a free one")
    parser.add_argument("--bucket", action="append", default=[], help="make this bucket")
    parser.add_argument(
        "--template",
        action="append",
        default=[],
        metavar="URI=PATH",
        help="the compiled template that a templateUri stands for",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
