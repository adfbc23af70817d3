"""Vertex AI Pipelines, as the graphs see them."""

from __future__ import annotations

from kfp_llm_tuning.components.common.platforms import VERTEX
from kfp_llm_tuning.components.models.implemented import prediction_image
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.pipelines.graphs.platform import Platform
from kfp_llm_tuning.pipelines.vertex import placeholders

# The machine of a batch prediction on Vertex AI: the smallest GPU that vLLM is quick on.
PREDICTION_MACHINE = "l4-1"


def vertex_platform(prediction_machine: str = PREDICTION_MACHINE) -> Platform:
    """Describes Vertex AI Pipelines: the tuner in a CustomJob, models in the Model Registry.

    Its values are placeholders that the service fills in when a task starts. Batch predictions run
    in CustomJobs as well: a task that asked for a GPU itself would ask for it also where there is
    nothing to predict, and fail where there is none to be had.

    Args:
        prediction_machine: Machine of the batch predictions, a name of machine_specs.yaml; empty:
            in their tasks, without a GPU.

    Returns:
        The platform.
    """
    from kfp import dsl

    run_folder = f"{dsl.PIPELINE_ROOT_PLACEHOLDER}/{dsl.PIPELINE_JOB_ID_PLACEHOLDER}"
    return Platform(
        name=VERTEX.name,
        pipeline_region=placeholders.LOCATION,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        run_time=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER,
        registry_uri="",
        checkpoint_directory=f"{run_folder}/checkpoints",
        export_directory=f"{run_folder}/dataset",
        labels="",
        experiment=(
            f"large-language-model-tuner-{dsl.PIPELINE_JOB_ID_PLACEHOLDER}"
            f"-{dsl.PIPELINE_TASK_ID_PLACEHOLDER}"
        ),
        service_account=placeholders.SERVICE_ACCOUNT,
        network=placeholders.NETWORK,
        persistent_resource_id=placeholders.PERSISTENT_RESOURCE_ID,
        caches_own_run=False,
        prediction_job=_prediction_job(prediction_machine) if prediction_machine else {},
    )


def _prediction_job(machine: str) -> dict[str, str]:
    chosen = select_machine("", machine, "--prediction-machine", stage="predict")
    return {
        "machine": machine,
        "image": prediction_image(chosen.accelerator),
        "project": placeholders.PROJECT,
        "location": placeholders.LOCATION,
        "service_account": placeholders.SERVICE_ACCOUNT,
        "network": placeholders.NETWORK,
    }
