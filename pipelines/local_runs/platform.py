"""This machine, as the graphs see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from kfp_llm_tuning.components.common.platforms import LOCAL
from kfp_llm_tuning.pipelines.graphs.platform import Platform


def local_platform(
    run_directory: Path,
    registry_uri: str,
    labels: Mapping[str, str],
    run_time: str = "",
    run_id: str = "",
) -> Platform:
    """Describes this machine: kfp.local, the tuner in place, models in MLflow.

    Args:
        run_directory: The run's folder.
        registry_uri: MLflow tracking URI.
        labels: Labels of the run.
        run_time: When the run was created, ISO 8601.
        run_id: What the run was called when it was made; empty: as its folder.

    Returns:
        The platform.
    """
    run_id = run_id or run_directory.name
    return Platform(
        name=LOCAL.name,
        pipeline_region="",
        run_id=run_id,
        run_time=run_time,
        registry_uri=registry_uri,
        checkpoint_directory=str(run_directory / "checkpoints"),
        labels=json.dumps(dict(labels), sort_keys=True),
        experiment=run_id,
    )
