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
        run_time: When the run was created, ISO 8601; empty where display names have no date.
        registry_uri: MLflow tracking URI; empty for the Vertex AI Model Registry.
        checkpoint_directory: Where the tuner keeps its checkpoints between tries; empty: beside
            its output.
        export_directory: Where managed datasets are exported to; empty where there are none.
        labels: A JSON object: what the user labels the run and its model with.
        service_account: Account that the tuner and the endpoint run as; empty for the default.
        network: Network that the tuner is peered with; empty for none.
        persistent_resource_id: Machines kept for several jobs; empty for none.
        caches_own_run: Whether a cache belongs to one run. Elsewhere what a run must do for itself
            is never cached: the next run would export and register nothing.
        prediction_accelerator: GPU of the batch predictions, one; empty for none.
    """

    name: str
    pipeline_region: str
    run_id: str
    registry_uri: str
    checkpoint_directory: str
    labels: str
    run_time: str = ""
    export_directory: str = ""
    service_account: str = ""
    network: str = ""
    persistent_resource_id: str = ""
    caches_own_run: bool = True
    prediction_accelerator: str = ""

    @property
    def tunes_in_place(self) -> bool:
        """Whether the tuner works in its task's own container, and starts no other job."""
        return self.name != "vertex"


def local(
    run_directory: Path, registry_uri: str, labels: Mapping[str, str], run_time: str = ""
) -> Platform:
    """Describes this machine: kfp.local, the tuner in place, models in MLflow.

    Args:
        run_directory: The run's folder, whose name is the run's id.
        registry_uri: MLflow tracking URI.
        labels: Labels of the run.
        run_time: When the run was created, ISO 8601.

    Returns:
        The platform.
    """
    return Platform(
        name="local",
        pipeline_region="",
        run_id=run_directory.name,
        run_time=run_time,
        registry_uri=registry_uri,
        checkpoint_directory=str(run_directory / "checkpoints"),
        labels=json.dumps(dict(labels), sort_keys=True),
    )


def vertex() -> Platform:
    """Describes Vertex AI Pipelines: the tuner in a CustomJob, models in the Model Registry.

    Its values are placeholders that the service fills in when a task starts.

    Returns:
        The platform.
    """
    from google_cloud_pipeline_components import _placeholders
    from kfp import dsl

    run_folder = f"{dsl.PIPELINE_ROOT_PLACEHOLDER}/{dsl.PIPELINE_JOB_ID_PLACEHOLDER}"
    return Platform(
        name="vertex",
        pipeline_region=_placeholders.LOCATION_PLACEHOLDER,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        run_time=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
        registry_uri="",
        checkpoint_directory=f"{run_folder}/checkpoints",
        export_directory=f"{run_folder}/dataset",
        labels="",
        service_account=_placeholders.SERVICE_ACCOUNT_PLACEHOLDER,
        network=_placeholders.NETWORK_PLACEHOLDER,
        persistent_resource_id=_placeholders.PERSISTENT_RESOURCE_ID_PLACEHOLDER,
        caches_own_run=False,
        prediction_accelerator="NVIDIA_L4",
    )
