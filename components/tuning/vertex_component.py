"""KFP interface of the tuner on Vertex AI: a CustomJob in the tuning region."""

from kfp import dsl
from kfp.dsl import Artifact, ConcatPlaceholder, ContainerSpec, Output, OutputPath

from kfp_llm_tuning.components.common.images import IMAGE

_DISPLAY_NAME = (
    f"large-language-model-tuner-{dsl.PIPELINE_JOB_ID_PLACEHOLDER}"
    f"-{dsl.PIPELINE_TASK_ID_PLACEHOLDER}"
)


@dsl.container_component
def large_language_model_tuner(
    project: str,
    location: str,
    payload_first_part: str,
    payload_second_part: str,
    gcp_resources: OutputPath(str),  # type: ignore[valid-type]
    saved_model: Output[Artifact],
    tensorboard_metrics: Output[Artifact],
) -> ContainerSpec:
    """Tunes a large language model in a CustomJob, which goes on where a lost machine stopped.

    Args:
        project: Project that the job runs in.
        location: Region that the job runs in.
        payload_first_part: The job's JSON up to the URI of the saved model, from
            compose-params-for-model-tuner.
        payload_second_part: The job's JSON after the URI of the metrics.
        gcp_resources: The job, as GCPC's launchers record it.
        saved_model: Merged model in Hugging Face layout, its adapter and its provenance.
        tensorboard_metrics: Event files and history.jsonl.
    """
    from kfp_llm_tuning.components.tuning.custom_job import BETWEEN_OUTPUTS

    payload = ConcatPlaceholder(
        [
            f'{{"display_name": "{_DISPLAY_NAME}", ',
            payload_first_part,
            saved_model.uri,
            BETWEEN_OUTPUTS,
            tensorboard_metrics.uri,
            payload_second_part,
        ]
    )
    return ContainerSpec(
        image=IMAGE,
        command=[
            "python3",
            "-u",
            "-m",
            "kfp_llm_tuning.components.common.custom_job_launcher",
        ],
        args=[
            "--type",
            "CustomJob",
            "--payload",
            payload,
            "--project",
            project,
            "--location",
            location,
            "--gcp_resources",
            gcp_resources,
        ],
    )
