"""KFP interface of composing the tuner's job."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Input

from kfp_llm_tuning.components.common.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def compose_params_for_model_tuner(
    large_model_reference: str,
    train_dataset: Input[Dataset],
    evaluation_dataset: Input[Dataset],
    model_display_name: str = "",
    train_steps: int = 300,
    learning_rate: float = -1.0,
    learning_rate_multiplier: float = 1.0,
    evaluation_interval: int = 20,
    enable_early_stopping: bool = True,
    enable_checkpoint_selection: str = "default",
    tuning_method: str = "tune_v2",
    max_context_length: str = "",
    seed: int = 0,
    location: str = "",
    pipeline_region: str = "",
    use_tpu: bool = False,
) -> NamedTuple("Outputs", location=str, payload=str):  # type: ignore[valid-type]
    """Composes the tuner's arguments from the model's defaults and the pipeline's inputs.

    Args:
        large_model_reference: What is tuned: a name of model_references.yaml, hf://, gs://, a path.
        train_dataset: Output of dataset-encoder.
        evaluation_dataset: Output of evaluation-dataset-encoder; its set may be empty.
        model_display_name: Name of the tuned model.
        train_steps: Batches to train on.
        learning_rate: Negative means the one recommended for the model.
        learning_rate_multiplier: Multiplies the learning rate.
        evaluation_interval: Steps between two evaluations over the whole evaluation set.
        enable_early_stopping: Stop when evaluations no longer get better.
        enable_checkpoint_selection: Keep the best step rather than the last: true, false, or
            default for the model's own.
        tuning_method: tune_v2, the legacy tune, or adapter or full to force one.
        max_context_length: 8k or 32k; empty means the model's own.
        seed: Seed of weights, order and dropout.
        location: Region that tuning runs in; empty means the pipeline's.
        pipeline_region: Region that the pipeline runs in; empty where there are none.
        use_tpu: Whether tuning runs on TPU, which has batch sizes of its own.

    Returns:
        location: Region that tuning runs in; empty where there are none.
        payload: The tuner's arguments, a JSON object.
    """
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.tuning.compose import TuningRequest, compose

    with exit_on_error():
        request = TuningRequest(
            large_model_reference=large_model_reference,
            model_display_name=model_display_name,
            train_steps=train_steps,
            learning_rate=learning_rate,
            learning_rate_multiplier=learning_rate_multiplier,
            tuning_method=tuning_method,
            max_context_length=max_context_length,
            evaluation_interval=evaluation_interval,
            enable_early_stopping=enable_early_stopping,
            enable_checkpoint_selection=enable_checkpoint_selection,
            use_tpu=use_tpu,
            seed=seed,
        )
        payload = compose(request, Path(train_dataset.path), Path(evaluation_dataset.path))
    return location or pipeline_region, payload
