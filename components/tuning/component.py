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
) -> None:
    """Tunes a large language model on encoded examples; run again, it goes on where it stopped.

    Args:
        payload: JSON of the tuner's arguments, from compose-params-for-model-tuner.
        train_dataset: Output of dataset-encoder.
        evaluation_dataset: Output of evaluation-dataset-encoder; its set may be empty.
        saved_model: Merged model in Hugging Face layout, its adapter and its provenance.
        tensorboard_metrics: Event files and history.jsonl.
        checkpoint_directory: Folder that a repeated task finds again; empty puts the checkpoints
            beside the saved model.
    """
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error

    with exit_on_error():
        from kfp_llm_tuning.components.tuning.arguments import TuningArguments
        from kfp_llm_tuning.components.tuning.tune import TuningPaths, tune

        output = Path(saved_model.path)
        checkpoints = checkpoint_directory or f"{output}-checkpoints"
        provenance = tune(
            TuningArguments.from_json(payload),
            TuningPaths(
                train_dataset=Path(train_dataset.path),
                evaluation_dataset=Path(evaluation_dataset.path),
                output=output,
                metrics=Path(tensorboard_metrics.path),
                checkpoints=Path(checkpoints),
            ),
        )
        saved_model.metadata["framework"] = "transformers"
        saved_model.metadata["model_reference"] = provenance["model_reference"]
