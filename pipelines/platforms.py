"""The one place that knows what differs from platform to platform.

Two things do: where the tuner's container runs, and where models are registered. Everything else
is the same graph, compiled once for each platform.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Platform:
    """What a pipeline needs to know of the place it runs in.

    Attributes:
        name: local, kubeflow or vertex.
        pipeline_region: The region that the pipeline runs in; empty where there are none.
        run_id: Names the run in the registry, the same for every try of one run.
        registry_uri: MLflow tracking URI.
        checkpoint_directory: Where the tuner keeps its checkpoints between tries; empty: beside
            its output.
        labels: A JSON object: what the user labels the run and its model with.
    """

    name: str
    pipeline_region: str
    run_id: str
    registry_uri: str
    checkpoint_directory: str
    labels: str


def local(run_directory: Path, registry_uri: str, labels: Mapping[str, str]) -> Platform:
    """Describes this machine: kfp.local, the tuner in place, models in MLflow.

    Args:
        run_directory: The run's folder, whose name is the run's id.
        registry_uri: MLflow tracking URI.
        labels: Labels of the run.

    Returns:
        The platform.
    """
    return Platform(
        name="local",
        pipeline_region="",
        run_id=run_directory.name,
        registry_uri=registry_uri,
        checkpoint_directory=str(run_directory / "checkpoints"),
        labels=json.dumps(dict(labels), sort_keys=True),
    )
