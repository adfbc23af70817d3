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
    continue_on_failure: bool = False,
    gate_metric: str = "",
    run_id: str = "",
    machine: str = "",
    image: str = "",
    project: str = "",
    location: str = "",
    service_account: str = "",
    network: str = "",
    encryption_spec_key_name: str = "",
) -> None:
    """Answers every prompt of an evaluation set with a base model or a tuned one.

    Args:
        evaluation_records: Preprocessed evaluation set; may be empty, and then no model is loaded
            and no machine is asked for.
        training_records: Preprocessed training set; only its outputs are read, to find labels.
        predictions: Folder of predictions.jsonl, info.json and, for classification, labels.jsonl.
        saved_model: Tuned model of large-language-model-tuner; leave it out for a base model.
        model_reference: Base model: a name, hf://organisation/name, gs://, s3:// or a path.
        tuning_method: Decides the base model's token limits, as in tuning.
        accelerator: "TPU" or "GPU"; decides the limits of the tuning method `tune`.
        max_context_length: "8k", "32k", or empty for the base model's own.
        continue_on_failure: Write down what failed, for evaluate-model to tell, rather than fail.
        gate_metric: Metric that guards the registration: with one, a failure fails the task.
        run_id: Names the pipeline run.
        machine: Predict in a Vertex AI CustomJob on this machine, a name of machine_specs.yaml;
            empty: in this task.
        image: Image of that job.
        project: Project of that job.
        location: Region of that job.
        service_account: Account that the job runs as; empty means Vertex AI's own.
        network: VPC network that the job is peered with; empty for none.
        encryption_spec_key_name: Customer-managed key of the job; used where it is of its region.
    """
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.evaluation.prediction_job import PredictionJob
    from kfp_llm_tuning.components.evaluation.prediction_task import PredictionTask, predict

    with exit_on_error():
        # A job on another machine sees URIs, and a process of this one the paths of this one.
        where = "uri" if machine else "path"
        task = PredictionTask(
            evaluation_records=getattr(evaluation_records, where),
            training_records=getattr(training_records, where),
            predictions=getattr(predictions, where),
            saved_model=getattr(saved_model, where) if saved_model else "",
            model_reference=model_reference,
            tuning_method=tuning_method,
            accelerator=accelerator,
            max_context_length=max_context_length,
            continue_on_failure=continue_on_failure and not gate_metric,
        )
        job = PredictionJob(
            machine=machine,
            image=image,
            project=project,
            location=location,
            service_account=service_account,
            network=network,
            encryption_spec_key_name=encryption_spec_key_name,
        )
        output = Path(predictions.path)
        info = predict(
            task, Path(evaluation_records.path), output, job.command(task, output, run_id)
        )
        predictions.metadata["examples"] = info.examples
        predictions.metadata["model"] = info.model
        predictions.metadata["failure"] = info.failure


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prediction_resources(
    evaluation_records: Input[Dataset],
    accelerators: int = 0,
    cpu: str = "",
    memory: str = "",
    idle_cpu: str = "",
    idle_memory: str = "",
) -> NamedTuple("Resources", accelerators=str, cpu=str, memory=str):  # type: ignore[valid-type]
    """Settles what the pods of batch-predict ask for: no accelerator where nothing is predicted.

    Args:
        evaluation_records: Preprocessed evaluation set; may be empty.
        accelerators: Accelerators for predictions.
        cpu: Processors for predictions, as Kubernetes writes them.
        memory: Memory for predictions, likewise.
        idle_cpu: Processors where there is nothing to predict.
        idle_memory: Memory where there is nothing to predict.

    Returns:
        accelerators: Accelerators to ask for.
        cpu: Processors to ask for.
        memory: Memory to ask for.
    """
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.data.artifacts import read_records_info

    with exit_on_error():
        predicts = read_records_info(Path(evaluation_records.path)).examples > 0
    if predicts:
        return str(accelerators), cpu, memory
    return "0", idle_cpu, idle_memory


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate_model(
    base_predictions: Input[Dataset],
    tuned_predictions: Input[Dataset],
    tensorboard_metrics: Input[Artifact],
    metrics: Output[Metrics],
    classification_metrics: Output[ClassificationMetrics],
    report: Output[HTML],
    evaluation: Output[Artifact],
    training_records: Optional[Input[Dataset]] = None,  # noqa: UP045 (kfp reads no `X | None`)
    primary_metric: str = "",
    gate_metric: str = "",
    gate_threshold: float = 0.0,
    output_root_dir: str = "",
    run_id: str = "",
    continue_on_failure: bool = False,
) -> NamedTuple("Gate", gate_passed=bool, gate_reason=str):  # type: ignore[valid-type]
    """Compares the tuned model with the base model and says whether it may be registered.

    Args:
        base_predictions: Output of batch-predict for the base model.
        tuned_predictions: Output of batch-predict for the tuned model.
        tensorboard_metrics: The tuner's output of that name, for the training curves.
        metrics: The metric that decides as primary, its name as primary_metric, every metric of
            the tuned model, those of the base model as base_NAME, and the trivial baselines as
            baseline_NAME.
        classification_metrics: Confusion matrix and ROC curve; empty for generation.
        report: The page for people.
        evaluation: Folder of evaluation.json and report.html.
        training_records: Preprocessed training set: what the trivial baselines know of the task.
        primary_metric: Metric that decides: a metric's name, or module:function of your own, which
            must stand in this component's image; empty for the task's own.
        gate_metric: Metric that guards the registration, "primary" for the one that decides; empty
            for none.
        gate_threshold: The least value that passes; the greatest for losses and perplexity.
        output_root_dir: Folder, a path or URI, that gets a copy of the evaluation and of both
            models' predictions in a folder of the run's own; empty for no copy.
        run_id: Name of the run's folder there.
        continue_on_failure: Without a gate, tell in the report what failed, here or in
            batch-predict, rather than fail; likewise a copy that cannot be written.

    Returns:
        gate_passed: Whether the model may be registered and deployed.
        gate_reason: Why, in one sentence.
    """
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.common.primary_metric import PRIMARY_NAME_KEY
    from kfp_llm_tuning.components.evaluation import evaluate
    from kfp_llm_tuning.components.evaluation.comparison import Criteria
    from kfp_llm_tuning.components.evaluation.gate import Gate

    with exit_on_error():
        folder = Path(evaluation.path)
        found = evaluate.evaluate_model(
            Path(base_predictions.path),
            Path(tuned_predictions.path),
            Path(tensorboard_metrics.path),
            folder,
            training_records=Path(training_records.path) if training_records else None,
            criteria=Criteria(primary_metric, Gate(gate_metric, gate_threshold)),
            copies=evaluate.Copies(output_root_dir, run_id),
            continue_on_failure=continue_on_failure,
        )
        page = Path(report.path)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes((folder / evaluate.REPORT_FILE).read_bytes())
        for name, value in evaluate.flat_metrics(found).items():
            metrics.log_metric(name, value)
        if found.primary:
            metrics.metadata[PRIMARY_NAME_KEY] = found.primary.name
        classes = found.tuned.classification if found.tuned else None
        if classes:
            classification_metrics.log_confusion_matrix(classes.labels, classes.confusion_matrix)
            curve = classes.roc_curve
            classification_metrics.log_roc_curve(
                curve.false_positive_rates, curve.true_positive_rates, curve.thresholds
            )
    return (found.gate.passed, found.gate.reason)
