"""A sweep: several learning rates are tried side by side, and only the best model is registered.

    python examples/sweep.py run --multipliers "[0.5, 2]" --train-steps 60
    python examples/sweep.py compile --platform vertex --image-registry REGISTRY

The data is checked, prepared and encoded once, and the base model asked once. For every multiplier
one model is tuned, asked and compared (``dsl.ParallelFor``); ``pick-best`` reads all comparisons
(``dsl.Collected``) and hands on the model with the best metric, which ``deployment-graph``
registers. It hands on where the model is: nothing is copied.
"""

from pathlib import Path
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.components.evaluation import batch_predict, evaluate_model
from kfp_llm_tuning.pipelines.graphs import deployment_graph, tuning_graph
from kfp_llm_tuning.pipelines.graphs.platform import Platform, Role
from kfp_llm_tuning.pipelines.graphs.tuning_steps import add_datasets, add_tuner, add_validation
from kfp_llm_tuning.pipelines.own_pipeline import pipeline_command

SUPPORT = Path(__file__).parent / "support"
EXAMPLE = {
    "dataset_uri": str(SUPPORT / "train.jsonl"),
    "evaluation_data_uri": str(SUPPORT / "evaluation.jsonl"),
}


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def pick_best(
    multipliers: list[float],
    saved_models: Input[list[Model]],
    tensorboard_metrics: Input[list[Artifact]],
    evaluations: Input[list[Artifact]],
    metric: str,
    best_model: Output[Model],
    best_tensorboard_metrics: Output[Artifact],
    best_evaluation: Output[Artifact],
) -> NamedTuple("Outputs", multiplier=float, value=float):  # type: ignore[valid-type]
    """Picks the model with the best metric; of equals the first.

    Args:
        multipliers: What was tried.
        saved_models: The model of each.
        tensorboard_metrics: The curves of each.
        evaluations: The comparison of each with the base model.
        metric: Which metric decides.
        best_model: The model that was picked.
        best_tensorboard_metrics: Its curves.
        best_evaluation: Its comparison.

    Returns:
        multiplier: What it was tuned with.
        value: Its metric.
    """
    import json
    import logging
    from pathlib import Path

    from kfp_llm_tuning.components.common.metrics import METRICS

    values = []
    for multiplier, evaluation in zip(multipliers, evaluations, strict=True):
        text = (Path(evaluation.path) / "evaluation.json").read_text(encoding="utf-8")
        values.append(json.loads(text)["metrics"][metric]["tuned"])
        logging.info("%s of multiplier %s: %g", metric, multiplier, values[-1])
    best = values.index(max(values) if METRICS[metric] else min(values))
    best_model.uri = saved_models[best].uri
    best_model.metadata.update(saved_models[best].metadata)
    best_tensorboard_metrics.uri = tensorboard_metrics[best].uri
    best_evaluation.uri = evaluations[best].uri
    return multipliers[best], values[best]


def sweep(platform: Platform) -> dsl.base_component.BaseComponent:
    """Builds the pipeline.

    Args:
        platform: What it is built for.

    Returns:
        The pipeline.
    """
    deploy = deployment_graph.deployment_graph(platform)

    @dsl.pipeline(name="sweep", description="Tries several learning rates; registers the best.")
    def pipeline(
        dataset_uri: str,
        evaluation_data_uri: str,
        project: str = "example",
        model_display_name: str = "support-router",
        large_model_reference: str = "byte-tiny",
        train_steps: int = 200,
        multipliers: list[float] = [0.3, 1.0, 3.0],  # noqa: B006 (kfp compiles it)
        metric: str = "loss",
    ) -> None:
        """Tries several learning rates; registers the best.

        Args:
            dataset_uri: Training set.
            evaluation_data_uri: Evaluation set, whose metrics decide.
            project: Google Cloud project; any name elsewhere.
            model_display_name: Name of the best model.
            large_model_reference: What is tuned.
            train_steps: Batches to train on, for each multiplier.
            multipliers: What the recommended learning rate is multiplied by.
            metric: Which metric decides: a name of docs/parameters.md's gate_metric.
        """
        validated = add_validation(
            platform,
            model=large_model_reference,
            model_display_name=model_display_name,
            project=project,
            dataset_uri=dataset_uri,
            evaluation_data_uri=evaluation_data_uri,
            train_steps=train_steps,
        )
        decided = tuning_graph.decisions(validated)
        limits: dict[str, Any] = {
            "large_model_reference": large_model_reference,
            "train_steps": train_steps,
        }
        sets = add_datasets(
            platform,
            dataset_uri=dataset_uri,
            evaluation_data_uri=evaluation_data_uri,
            data_version=decided["data_version"],
            accelerator=decided["accelerator"],
            **limits,
        )
        records = {
            "training_records": sets.training_records,
            "evaluation_records": sets.evaluation_records,
        }
        base = batch_predict(
            model_reference=large_model_reference, **records, **platform.prediction_job
        )
        platform.equip(base, Role.PREDICTOR)
        with dsl.ParallelFor(multipliers) as multiplier:
            tuned = add_tuner(
                platform,
                train_dataset=sets.train_dataset,
                evaluation_dataset=sets.evaluation_dataset,
                # The platform's own folder of checkpoints is for one model.
                checkpoint_directory="",
                learning_rate_multiplier=multiplier,
                project=project,
                **limits,
                **{name: decided[name] for name in _OF_THE_TUNER},
            )
            answers = batch_predict(
                saved_model=tuned.outputs["saved_model"], **records, **platform.prediction_job
            )
            platform.equip(answers, Role.PREDICTOR)
            compared = evaluate_model(
                base_predictions=base.outputs["predictions"],
                tuned_predictions=answers.outputs["predictions"],
                tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
            )
            platform.equip(compared, Role.LIGHT)
        best = pick_best(
            multipliers=multipliers,
            saved_models=dsl.Collected(tuned.outputs["saved_model"]),
            tensorboard_metrics=dsl.Collected(tuned.outputs["tensorboard_metrics"]),
            evaluations=dsl.Collected(compared.outputs["evaluation"]),
            metric=metric,
        )
        platform.equip(best, Role.LIGHT)
        deploy(
            saved_model=best.outputs["best_model"],
            tensorboard_metrics=best.outputs["best_tensorboard_metrics"],
            evaluation=best.outputs["best_evaluation"],
            validation_report=sets.validation_report,
            large_model_reference=large_model_reference,
            project=project,
            **deployment_graph.decisions(validated),
        )

    return pipeline


_OF_THE_TUNER = ("model_display_name", "location", "use_tpu", "machine_spec", "service_account")
main = pipeline_command(sweep, EXAMPLE)

if __name__ == "__main__":
    main()
