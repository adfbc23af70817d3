"""KFP interface of the dataset's validation."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Metrics, Output

from kfp_llm_tuning.components.common.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def validate_dataset(
    dataset_uri: str,
    summary: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    evaluation_data_uri: str = "",
    evaluation_fraction: float = 0.0,
    seed: int = 0,
    large_model_reference: str = "text-bison@001",
    default_context: str = "",
    train_steps: int = 300,
    epochs: float = 0.0,
    tuning_method: str = "tune_v2",
    accelerator_type: str = "",
    max_context_length: str = "",
    strict: bool = False,
    max_printed_problems: int = 20,
    data_version: str = "",
    # A plain dict: YAML keeps no types of entries. kfp copies the default as it is written.
    tuner_arguments: dict = {},  # type: ignore[type-arg]  # noqa: B006
    tracking_uri: str = "",
    dataset_format: str = "",
    train_on: str = "all",
) -> None:
    """Checks every row of the training and the evaluation set.

    The outputs are written for a bad dataset too; the task fails after that.

    Args:
        dataset_uri: Training set: a file, a folder, a pattern, hf://org/name, or several.
        evaluation_data_uri: Evaluation set; empty for none.
        evaluation_fraction: Share of the training data that is held out to evaluate on, in the
            place of evaluation_data_uri; what is nearly the same stays on one side.
        seed: Of the choice of what is held out.
        large_model_reference: The model: decides format, limits, tokenizer and batch size.
        default_context: Context of conversations that have none; an error with text.
        train_steps: Optimiser steps, for the number of epochs.
        epochs: Passes over the training data, in the place of train_steps; 0 leaves it to these,
            a negative number to what is advised for the task found in the data.
        tuning_method: tune_v2, tune, adapter or full; decides the limits.
        accelerator_type: GPU; empty means GPU too. TPU is refused: nothing tunes on it.
        max_context_length: 8k or 32k; empty for the model's own.
        strict: Refuse the dataset on warnings too.
        max_printed_problems: How many errors, warnings and notes, each, are told in full; all are
            counted.
        data_version: Of validate-pipeline; another version is another task for KFP's cache.
        tuner_arguments: Of the pipeline; their batch_size takes the place of the model's.
        tracking_uri: MLflow tracking URI where the pipeline run is tracked, which the variable
            KFP_RUN_ID names: a refused dataset is shown there. Empty for none.
        dataset_format: What the rows of both sets are written in; empty to find it from the rows of
            each.
        train_on: Which answers of a training conversation are learned: all or last.
        summary: JSON file with figures and findings.
        metrics: Counts of examples, errors, warnings, duplicates, tokens.
        report: The page for people.
    """
    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.tracking.tracked_task import tracked_task
    from kfp_llm_tuning.components.validation.dataset import Request
    from kfp_llm_tuning.components.validation.task import validate_to_files

    request = Request(
        dataset_uri=dataset_uri,
        evaluation_data_uri=evaluation_data_uri,
        evaluation_fraction=evaluation_fraction,
        seed=seed,
        large_model_reference=large_model_reference,
        default_context=default_context,
        train_steps=train_steps,
        epochs=epochs,
        tuning_method=tuning_method,
        accelerator_type=accelerator_type,
        max_context_length=max_context_length,
        strict=strict,
        max_printed_problems=max_printed_problems,
        tuner_arguments=tuner_arguments,
        dataset_format=dataset_format,
        train_on=train_on,
    )
    with exit_on_error(), tracked_task("validate-dataset", tracking_uri, "tuning"):
        validate_to_files(request, summary.path, report.path, metrics.log_metric)
