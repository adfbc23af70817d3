"""The base model and the tuned one, asked the same questions and compared."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input

from kfp_llm_tuning.components.parameters.pipeline import RootInputs as Defaults
from kfp_llm_tuning.pipelines.graphs.parts import OURS, Parts
from kfp_llm_tuning.pipelines.graphs.platform import Platform, Role


class EvaluationOutputs(NamedTuple):
    """What the graph gives to those after it."""

    evaluation: Artifact
    gate_passed: bool
    gate_reason: str
    tuned_predictions: Dataset


def evaluation_graph(platform: Platform, parts: Parts = OURS) -> dsl.base_component.BaseComponent:
    """Builds the graph for a platform.

    Args:
        platform: What the predictions run on.
        parts: The components of its tasks.

    Returns:
        The graph, to be called as one task of a pipeline.
    """

    @dsl.pipeline(name="evaluation-graph", description="Base and tuned model compared.")
    def graph(
        saved_model: Input[Artifact],
        tensorboard_metrics: Input[Artifact],
        training_records: Input[Dataset],
        evaluation_records: Input[Dataset],
        large_model_reference: str,
        tuning_method: str = Defaults.tuning_method,
        max_context_length: str = Defaults.max_context_length,
        accelerator: str = "GPU",
        primary_metric: str = Defaults.primary_metric,
        gate_metric: str = Defaults.gate_metric,
        gate_threshold: float = Defaults.gate_threshold,
        evaluation_output_root_dir: str = Defaults.evaluation_output_root_dir,
        encryption_spec_key_name: str = Defaults.encryption_spec_key_name,
    ) -> EvaluationOutputs:
        given = {
            "evaluation_records": evaluation_records,
            "training_records": training_records,
            # What the model is worth is good to know, and no condition of its registration.
            "continue_on_failure": True,
            "gate_metric": gate_metric,
            "run_id": platform.run_id,
            "encryption_spec_key_name": encryption_spec_key_name,
            **platform.prediction_job,
        }
        base = parts.batch_predict(
            model_reference=large_model_reference,
            tuning_method=tuning_method,
            max_context_length=max_context_length,
            accelerator=accelerator,
            **given,
        )
        tuned = parts.batch_predict(saved_model=saved_model, **given)
        for task in (base, tuned):
            # A failure that was written down is no result for another run.
            task.set_caching_options(platform.caches_own_run)
            platform.equip(task, Role.PREDICTOR)
        if platform.prediction_resources:
            resources = parts.prediction_resources(
                evaluation_records=evaluation_records, **platform.prediction_resources
            )
            platform.equip(resources, Role.LIGHT)
            for task in (base, tuned):
                _take(resources, task, platform.prediction_resources)
        compared = parts.evaluate_model(
            base_predictions=base.outputs["predictions"],
            tuned_predictions=tuned.outputs["predictions"],
            tensorboard_metrics=tensorboard_metrics,
            training_records=training_records,
            primary_metric=primary_metric,
            gate_metric=gate_metric,
            gate_threshold=gate_threshold,
            output_root_dir=evaluation_output_root_dir,
            run_id=platform.run_id,
            continue_on_failure=True,
        )
        compared.set_caching_options(platform.caches_own_run)
        platform.equip(compared, Role.LIGHT)
        return EvaluationOutputs(
            evaluation=compared.outputs["evaluation"],
            gate_passed=compared.outputs["gate_passed"],
            gate_reason=compared.outputs["gate_reason"],
            tuned_predictions=tuned.outputs["predictions"],
        )

    return graph


def _take(resources: dsl.PipelineTask, task: dsl.PipelineTask, given: Mapping[str, Any]) -> None:
    """Lets a task ask for what another has settled."""
    # kfp does not say by itself that a task waits for its resources.
    task.after(resources)
    task.set_accelerator_limit(resources.outputs["accelerators"])
    if given["cpu"]:
        task.set_cpu_request(resources.outputs["cpu"])
    if given["memory"]:
        task.set_memory_request(resources.outputs["memory"])
