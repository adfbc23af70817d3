"""Champion and challenger: a new model is deployed only where it beats the one that answers now.

    python examples/champion_challenger.py run --train-steps 200
    python examples/champion_challenger.py run --train-steps 20   # worse: the champion stays
    python examples/champion_challenger.py compile --platform vertex --image-registry REGISTRY

The champion is the version of ``model_display_name`` that is deployed. It and the challenger answer
the same evaluation set, so that a set that grew is fair to both, and ``evaluate-model`` compares
them with the champion in the place of the base model. The first run has no champion: there the
challenger must beat the base model. Every challenger is registered, with or without a deployment.
"""

from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.components.evaluation import batch_predict, evaluate_model
from kfp_llm_tuning.pipelines.graphs import deployment_graph, tuning_graph
from kfp_llm_tuning.pipelines.graphs.evaluation_graph import evaluation_graph
from kfp_llm_tuning.pipelines.graphs.platform import Platform, Role
from kfp_llm_tuning.pipelines.graphs.tuning_steps import add_validation
from kfp_llm_tuning.pipelines.own_pipeline import pipeline_command

SUPPORT = Path(__file__).parent / "support"
EXAMPLE = {
    "dataset_uri": str(SUPPORT / "train.jsonl"),
    "evaluation_data_uri": str(SUPPORT / "evaluation.jsonl"),
}


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def find_champion(
    model_display_name: str,
    registry_uri: str,
    project: str,
    location: str,
    regional_endpoint: str,
    champion: Output[Model],
) -> bool:
    """Brings the deployed version of a model; tells whether there is one.

    Args:
        model_display_name: Name of the model.
        registry_uri: MLflow tracking URI; empty for the Vertex AI Model Registry.
        project: Project on Vertex AI.
        location: Region on Vertex AI.
        regional_endpoint: URL of Vertex AI in that region.
        champion: The deployed version; an empty folder where there is none.
    """
    import logging
    import shutil
    from pathlib import Path

    from kfp_llm_tuning.components.common.errors import exit_on_error
    from kfp_llm_tuning.components.upload.catalogue import download
    from kfp_llm_tuning.pipelines.registries import deployed_version

    Path(champion.path).mkdir(parents=True, exist_ok=True)
    with exit_on_error():
        version = deployed_version(
            registry_uri, model_display_name, project, location, regional_endpoint
        )
        if version is None:
            logging.info("%s has no champion.", model_display_name)
            return False
        logging.info("The champion is %s.", version.resource_name)
        if registry_uri:
            folder = download(registry_uri, version)
            shutil.copytree(folder, champion.path, dirs_exist_ok=True)
        else:
            champion.uri = version.location
    return True


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def is_better(evaluation: Input[Artifact], metric: str, beyond_chance: bool) -> bool:
    """Tells whether the tuned model's metric is better than the one that it was compared with.

    Args:
        evaluation: Output of evaluate-model.
        metric: Which metric decides.
        beyond_chance: Whether a difference that may be chance is not enough.
    """
    import json
    import logging
    from pathlib import Path

    from kfp_llm_tuning.components.common.metrics import METRICS

    text = (Path(evaluation.path) / "evaluation.json").read_text(encoding="utf-8")
    found = json.loads(text)["metrics"].get(metric)
    if found is None:
        logging.warning("The evaluation has no %s: what is deployed stays.", metric)
        return False
    logging.info(
        "%s: %g before, %g now: %s", metric, found["base"], found["tuned"], found["verdict"]
    )
    if beyond_chance:
        return bool(found["verdict"] == "better")
    gain = found["tuned"] - found["base"]
    return bool(gain > 0 if METRICS[metric] else gain < 0)


def champion_challenger(platform: Platform) -> dsl.base_component.BaseComponent:
    """Builds the pipeline.

    Args:
        platform: What it is built for.

    Returns:
        The pipeline.
    """
    tune = tuning_graph.tuning_graph(platform)
    evaluate = evaluation_graph(platform)
    deploy = deployment_graph.deployment_graph(platform)

    @dsl.pipeline(name="champion-challenger", description="Deploys a model only if it is better.")
    def pipeline(
        dataset_uri: str,
        evaluation_data_uri: str,
        project: str = "example",
        model_display_name: str = "support-router",
        large_model_reference: str = "byte-tiny",
        train_steps: int = 200,
        metric: str = "exact_match",
        beyond_chance: bool = False,
    ) -> None:
        """Deploys a model only if it is better.

        Args:
            dataset_uri: Training set.
            evaluation_data_uri: Evaluation set, which both models answer.
            project: Google Cloud project; any name elsewhere.
            model_display_name: Name of the champion and of the challenger.
            large_model_reference: What is tuned.
            train_steps: Batches to train on.
            metric: Which metric decides: a name of docs/parameters.md's gate_metric.
            beyond_chance: Whether a difference that may be chance is not enough.
        """
        asked: dict[str, Any] = {
            "project": project,
            "dataset_uri": dataset_uri,
            "evaluation_data_uri": evaluation_data_uri,
            "train_steps": train_steps,
        }
        validated = add_validation(
            platform,
            model=large_model_reference,
            model_display_name=model_display_name,
            **asked,
        )
        tuned = tune(
            large_model_reference=large_model_reference,
            **asked,
            **tuning_graph.decisions(validated),
        )
        records = {
            "training_records": tuned.outputs["training_records"],
            "evaluation_records": tuned.outputs["evaluation_records"],
        }
        evaluated = evaluate(
            saved_model=tuned.outputs["saved_model"],
            tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
            large_model_reference=large_model_reference,
            accelerator=validated.outputs["tuning_accelerator"],
            **records,
        )
        place = deployment_graph.decisions(validated)
        found = find_champion(
            project=project,
            **{name: place[name] for name in _REGISTRY},
        )
        # What is deployed now is not what a cached result of last week says.
        found.set_caching_options(enable_caching=False)
        platform.equip(found, Role.REGISTRY)
        rule = {"metric": metric, "beyond_chance": beyond_chance}
        with dsl.If(found.outputs["Output"] == True, name="has-champion"):  # noqa: E712 (kfp's)
            answers = batch_predict(
                saved_model=found.outputs["champion"], **records, **platform.prediction_job
            )
            platform.equip(answers, Role.PREDICTOR)
            compared = evaluate_model(
                base_predictions=answers.outputs["predictions"],
                tuned_predictions=evaluated.outputs["tuned_predictions"],
                tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
            )
            beats_champion = is_better(evaluation=compared.outputs["evaluation"], **rule)
            platform.equip(compared, Role.LIGHT)
            platform.equip(beats_champion, Role.LIGHT)
        with dsl.Else(name="has-none"):
            beats_base = is_better(evaluation=evaluated.outputs["evaluation"], **rule)
            platform.equip(beats_base, Role.LIGHT)
        deploy(
            saved_model=tuned.outputs["saved_model"],
            tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
            validation_report=tuned.outputs["validation_report"],
            evaluation=evaluated.outputs["evaluation"],
            large_model_reference=large_model_reference,
            project=project,
            deploy_model=dsl.OneOf(beats_champion.output, beats_base.output),
            **place,
        )

    return pipeline


_REGISTRY = ("model_display_name", "registry_uri", "location", "regional_endpoint")
main = pipeline_command(champion_challenger, EXAMPLE)

if __name__ == "__main__":
    main()
