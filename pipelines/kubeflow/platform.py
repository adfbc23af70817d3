"""A Kubeflow cluster, as the graphs see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kfp_llm_tuning.components.common.platforms import KUBEFLOW
from kfp_llm_tuning.pipelines.graphs.platform import Platform

if TYPE_CHECKING:
    from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions


def kubeflow_platform(
    options: KubeflowOptions, labels: Mapping[str, str] | None = None
) -> Platform:
    """Describes a Kubeflow cluster: the tuner in its task's pod or a TrainJob, models in MLflow.

    Its values are placeholders that the backend fills in: each is all of an input's value, as the
    backend asks for.

    Args:
        options: What differs from cluster to cluster.
        labels: Labels of the model, compiled in.

    Returns:
        The platform.
    """
    from kfp import dsl

    from kfp_llm_tuning.pipelines.kubeflow import resources
    from kfp_llm_tuning.pipelines.kubeflow.train_job import train_job_input

    return Platform(
        name=KUBEFLOW.name,
        pipeline_region="",
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        run_time=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
        registry_uri=options.mlflow_tracking_uri,
        checkpoint_directory=options.checkpoint_directory,
        checkpoint_folder=dsl.PIPELINE_JOB_ID_PLACEHOLDER if options.checkpoint_root else "",
        labels=json.dumps(dict(labels or {}), sort_keys=True),
        experiment=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        caches_own_run=False,
        accelerator=options.tuner_accelerator,
        equip=resources.equipment(options),
        prediction_resources=resources.prediction_resources(options),
        hold_volume=resources.run_volume(options),
        kserve=resources.kserve_inputs(options),
        train_job=train_job_input(options),
    )
