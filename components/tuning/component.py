"""KFP interface of the tuner."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from kfp_llm_tuning.components.common.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def large_language_model_tuner(
    payload: str,
    train_dataset: Input[Dataset],
    evaluation_dataset: Input[Dataset],
    saved_model: Output[Model],
    tensorboard_metrics: Output[Artifact],
    checkpoint_directory: str = "",
    checkpoint_folder: str = "",
    tracking_uri: str = "",
    tuning_machine_count: int = 1,
    train_job: str = "",
) -> None:
    """Tunes a large language model on encoded examples; run again, it goes on where it stopped.

    It tunes in its own container, or in a TrainJob of Kubeflow Trainer, which it makes, watches and
    deletes.

    Args:
        payload: JSON of the tuner's arguments, from compose-params-for-model-tuner.
        train_dataset: Output of dataset-encoder.
        evaluation_dataset: Output of evaluation-dataset-encoder; its set may be empty.
        saved_model: Merged model in Hugging Face layout, its adapter and its provenance.
        tensorboard_metrics: Event files and history.jsonl.
        checkpoint_directory: Folder, a path or a URI, that a repeated task finds again; empty puts
            the checkpoints beside the saved model.
        checkpoint_folder: Folder of checkpoint_directory that is this run's own, such as the run's
            id; empty where the whole of it is.
        tracking_uri: MLflow tracking URI where the pipeline run is tracked, which the variable
            KFP_RUN_ID names: curves are logged there as they grow. Empty for none.
        tuning_machine_count: Nodes of the TrainJob, which share every batch.
        train_job: A JSON object: how the nodes of the TrainJob are; empty for no TrainJob.
    """
    from kfp_llm_tuning.components.common import storage
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.tracking.tracked_task import tracked_task

    with exit_on_error(), tracked_task("large-language-model-tuner", tracking_uri, "tuning"):
        from kfp_llm_tuning.components.tuning.arguments import TuningArguments
        from kfp_llm_tuning.components.tuning.places import TuningPlaces

        checkpoints = checkpoint_directory or f"{saved_model.path}-checkpoints"
        if checkpoint_folder:
            checkpoints = storage.join(checkpoints, checkpoint_folder)
        arguments = TuningArguments.from_json(payload)
        places = TuningPlaces(
            train_dataset=train_dataset.path,
            evaluation_dataset=evaluation_dataset.path,
            output=saved_model.path,
            metrics=tensorboard_metrics.path,
            checkpoints=checkpoints,
            tracking_uri=tracking_uri,
        )
        if train_job:
            from kfp_llm_tuning.components.tuning.train_job import tune_in_train_job
            from kfp_llm_tuning.components.tuning.train_job_manifest import TrainJobSettings

            settings = TrainJobSettings.from_json(train_job)
            provenance = tune_in_train_job(settings, arguments, places, tuning_machine_count)
        else:
            from kfp_llm_tuning.components.tuning.session import run

            provenance = run(arguments, places)
        saved_model.metadata["framework"] = "transformers"
        saved_model.metadata["model_reference"] = provenance["model_reference"]
