"""KFP interfaces of evaluation; the work is done by the sibling modules."""

from typing import NamedTuple, Optional

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from kfp_llm_tuning.components.common.images import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def batch_predict(
    evaluation_records: Input[Dataset],
    training_records: Input[Dataset],
    predictions: Output[Dataset],
    saved_model: Optional[Input[Model]] = None,  # noqa: UP045 (kfp reads no `X | None`)
    model_reference: str = "",
    tuning_method: str = "tune_v2",
    accelerator: str = "GPU",
    max_context_length: str = "",
) -> None:
    """Answers every prompt of an evaluation set with a base model or a tuned one.

    Args:
        evaluation_records: Preprocessed evaluation set; may be empty, and then no model is loaded.
        training_records: Preprocessed training set; only its outputs are read, to find labels.
        predictions: Folder of predictions.jsonl, info.json and, for classification, labels.jsonl.
        saved_model: Tuned model of large-language-model-tuner; leave it out for a base model.
        model_reference: Base model: a name, hf://organisation/name, gs://, s3:// or a path.
        tuning_method: Decides the base model's token limits, as in tuning.
        accelerator: "TPU" or "GPU"; decides the limits of the tuning method `tune`.
        max_context_length: "8k", "32k", or empty for the base model's own.
    """
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.evaluation.predicting_model import BaseModel
    from kfp_llm_tuning.components.evaluation.prediction import batch_predict as predict

    with exit_on_error():
        model = (
            Path(saved_model.path)
            if saved_model
            else BaseModel(model_reference, tuning_method, accelerator, max_context_length)
        )
        info = predict(
            Path(evaluation_records.path),
            Path(training_records.path),
            model,
            Path(predictions.path),
        )
        predictions.metadata["examples"] = info.examples
        predictions.metadata["model"] = info.model


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_model(
    base_predictions: Input[Dataset],
    tuned_predictions: Input[Dataset],
    tensorboard_metrics: Input[Artifact],
    metrics: Output[Metrics],
    classification_metrics: Output[ClassificationMetrics],
    report: Output[HTML],
    evaluation: Output[Artifact],
    gate_metric: str = "",
    gate_threshold: float = 0.0,
    output_root_dir: str = "",
    run_id: str = "",
) -> NamedTuple("Gate", gate_passed=bool, gate_reason=str):  # type: ignore[valid-type]
    """Compares the tuned model with the base model and says whether it may be registered.

    Args:
        base_predictions: Output of batch-predict for the base model.
        tuned_predictions: Output of batch-predict for the tuned model.
        tensorboard_metrics: The tuner's output of that name, for the training curves.
        metrics: Every metric of the tuned model, and of the base model as base_NAME.
        classification_metrics: Confusion matrix and ROC curve; empty for generation.
        report: The page for people.
        evaluation: Folder of evaluation.json and report.html.
        gate_metric: Metric that guards the registration; empty for none.
        gate_threshold: The least value that passes; the greatest for losses and perplexity.
        output_root_dir: Folder, a path or URI, that gets a copy of the evaluation and of both
            models' predictions in a folder of the run's own; empty for no copy.
        run_id: Name of the run's folder there.

    Returns:
        gate_passed: Whether the model may be registered and deployed.
        gate_reason: Why, in one sentence.
    """
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.evaluation import evaluate

    with exit_on_error():
        folder = Path(evaluation.path)
        found = evaluate.evaluate_model(
            Path(base_predictions.path),
            Path(tuned_predictions.path),
            Path(tensorboard_metrics.path),
            folder,
            gate_metric=gate_metric,
            gate_threshold=gate_threshold,
        )
        copied = {
            "evaluation": folder,
            "base_predictions": Path(base_predictions.path),
            "tuned_predictions": Path(tuned_predictions.path),
        }
        evaluate.publish(copied, output_root_dir, run_id)
        page = Path(report.path)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes((folder / evaluate.REPORT_FILE).read_bytes())
        for name, value in evaluate.flat_metrics(found).items():
            metrics.log_metric(name, value)
        classes = found.tuned.classification if found.tuned else None
        if classes:
            classification_metrics.log_confusion_matrix(classes.labels, classes.confusion_matrix)
            curve = classes.roc_curve
            classification_metrics.log_roc_curve(
                curve.false_positive_rates, curve.true_positive_rates, curve.thresholds
            )
    return (found.gate.passed, found.gate.reason)
