"""A recurring run that tunes on new rows only, and on the model that the last run left.

    python examples/recurring.py run --output-dir runs   # tunes on every row
    python examples/recurring.py run --output-dir runs   # no new rows: ends without a model
    python examples/recurring.py compile --platform vertex --image-registry REGISTRY

The dataset is a file that grows at its end. ``find-new-rows`` reads from a state file
(``state_uri``) how much of it was tuned on, and ``remember-rows`` writes that file once a model of
the new rows is registered: the run after one that failed tunes on the same rows. With fewer new
rows than ``least_rows`` the run ends, and succeeds. With enough, ``find-start`` gives the deployed
model's folder to the tuner as its base model, so that what was learnt from older rows is kept, and
``evaluation-graph`` compares the new model with that one.

Schedule it so that one run ends before the next begins: ``kfp recurring-run create --cron ...
--max-concurrency 1``.
"""

from pathlib import Path
from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Output

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.pipelines.graphs import deployment_graph, tuning_graph
from kfp_llm_tuning.pipelines.graphs.evaluation_graph import evaluation_graph
from kfp_llm_tuning.pipelines.graphs.platform import Platform, Role
from kfp_llm_tuning.pipelines.graphs.tuning_steps import add_validation
from kfp_llm_tuning.pipelines.own_pipeline import pipeline_command

SUPPORT = Path(__file__).parent / "support"
EXAMPLE = {
    "dataset_uri": str(SUPPORT / "train.jsonl"),
    "evaluation_data_uri": str(SUPPORT / "evaluation.jsonl"),
    "state_uri": str(Path("runs", "seen.json").absolute()),
}


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def find_new_rows(
    dataset_uri: str, state_uri: str, least_rows: int, rows: Output[Dataset]
) -> NamedTuple("Outputs", enough=bool, new_rows_uri=str, seen=str):  # type: ignore[valid-type]
    """Takes the rows that no run has tuned on.

    Args:
        dataset_uri: JSONL that grows at its end.
        state_uri: JSON file that says what was tuned on; it need not be there.
        least_rows: Fewer new rows are left for a later run.
        rows: Folder of new.jsonl.

    Returns:
        enough: Whether there are as many new rows as that.
        new_rows_uri: The new rows.
        seen: The new content of the state file.
    """
    import hashlib
    import json
    import logging
    from pathlib import Path
    from typing import Any

    from kfp_llm_tuning.components.common.errors import Problem, UserError, exit_on_error
    from kfp_llm_tuning.components.common.storage import open_input
    from kfp_llm_tuning.components.common.transfers import exists

    with exit_on_error():
        with open_input(dataset_uri, "dataset_uri") as stream:
            content = stream.read()
        seen: dict[str, Any] = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
        if exists(state_uri):
            with open_input(state_uri, "state_uri") as stream:
                seen = json.load(stream)
        if hashlib.sha256(content[: seen["bytes"]]).hexdigest() != seen["sha256"]:
            fix = f"Append new rows to its end only; or delete {state_uri} to tune on all of it."
            raise UserError(
                Problem("rows that were tuned on have changed.", "dataset_uri", fix=fix)
            )
    new = [line for line in content[seen["bytes"] :].splitlines() if line.strip()]
    logging.info("%d new rows; %d are needed.", len(new), least_rows)
    folder = Path(rows.path)
    folder.mkdir(parents=True)
    (folder / "new.jsonl").write_bytes(b"\n".join(new))
    state = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return len(new) >= least_rows, f"{rows.uri}/new.jsonl", json.dumps(state)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def find_start(
    model_display_name: str,
    large_model_reference: str,
    registry_uri: str,
    project: str,
    location: str,
    regional_endpoint: str,
) -> str:
    """Names the model to tune on: the deployed version, or the base model of the first run.

    Args:
        model_display_name: Name of the model.
        large_model_reference: The base model.
        registry_uri: MLflow tracking URI; empty for the Vertex AI Model Registry.
        project: Project on Vertex AI.
        location: Region on Vertex AI.
        regional_endpoint: URL of Vertex AI in that region.
    """
    import logging

    from kfp_llm_tuning.components.common.errors import Problem, UserError, exit_on_error
    from kfp_llm_tuning.pipelines.registries import deployed_version

    with exit_on_error():
        version = deployed_version(
            registry_uri, model_display_name, project, location, regional_endpoint
        )
        if version is None:
            logging.info("Nothing is deployed: tuning %s.", large_model_reference)
            return large_model_reference
        if version.location.startswith("mlflow-artifacts:"):
            what = f"{version.resource_name} is behind the MLflow server, where no tuner reads it."
            fix = "Start the server with --no-serve-artifacts and a bucket as its artifact root."
            raise UserError(Problem(what, "registry_uri", fix=fix))
    logging.info("Tuning on from %s.", version.resource_name)
    return version.location


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def remember_rows(state_uri: str, seen: str, model_resource_name: str) -> None:
    """Writes the state file, now that a model of the rows is registered.

    Args:
        state_uri: The file.
        seen: What was tuned on, of find-new-rows.
        model_resource_name: The model.
    """
    import json
    import tempfile
    from pathlib import Path

    from kfp_llm_tuning.components.common.transfers import upload_file

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.json"
        file.write_text(json.dumps({**json.loads(seen), "model": model_resource_name}))
        upload_file(file, state_uri)


def recurring(platform: Platform) -> dsl.base_component.BaseComponent:
    """Builds the pipeline.

    Args:
        platform: What it is built for.

    Returns:
        The pipeline.
    """
    tune = tuning_graph.tuning_graph(platform)
    evaluate = evaluation_graph(platform)
    deploy = deployment_graph.deployment_graph(platform)

    @dsl.pipeline(name="recurring", description="Tunes on the rows that no run has tuned on.")
    def pipeline(
        dataset_uri: str,
        evaluation_data_uri: str,
        state_uri: str,
        least_rows: int = 10,
        project: str = "example",
        model_display_name: str = "support-router",
        large_model_reference: str = "byte-tiny",
        train_steps: int = 200,
    ) -> None:
        """Tunes on the rows that no run has tuned on.

        Args:
            dataset_uri: Training set, a JSONL file that grows at its end.
            evaluation_data_uri: Evaluation set.
            state_uri: JSON file, a path or URI, that says what was tuned on.
            least_rows: Fewer new rows are left for a later run; at least 10 can be tuned on.
            project: Google Cloud project; any name elsewhere.
            model_display_name: Name of the model that gets a new version.
            large_model_reference: What the first run tunes.
            train_steps: Batches to train on.
        """
        found = find_new_rows(dataset_uri=dataset_uri, state_uri=state_uri, least_rows=least_rows)
        # The files behind the URIs change while the URIs do not.
        found.set_caching_options(enable_caching=False)
        platform.equip(found, Role.LIGHT)
        with dsl.If(found.outputs["enough"] == True, name="new-rows"):  # noqa: E712 (kfp's)
            asked = {
                "project": project,
                "dataset_uri": found.outputs["new_rows_uri"],
                "evaluation_data_uri": evaluation_data_uri,
                "train_steps": train_steps,
            }
            validated = add_validation(
                platform,
                model=large_model_reference,
                model_display_name=model_display_name,
                **asked,
            )
            place = deployment_graph.decisions(validated)
            start = find_start(
                large_model_reference=large_model_reference,
                project=project,
                **{name: place[name] for name in _REGISTRY},
            )
            start.set_caching_options(enable_caching=False)
            platform.equip(start, Role.REGISTRY)
            tuned = tune(
                large_model_reference=start.output,
                **asked,
                **tuning_graph.decisions(validated),
            )
            evaluated = evaluate(
                saved_model=tuned.outputs["saved_model"],
                tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
                training_records=tuned.outputs["training_records"],
                evaluation_records=tuned.outputs["evaluation_records"],
                large_model_reference=start.output,
                accelerator=validated.outputs["tuning_accelerator"],
            )
            deployed = deploy(
                saved_model=tuned.outputs["saved_model"],
                tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
                validation_report=tuned.outputs["validation_report"],
                evaluation=evaluated.outputs["evaluation"],
                large_model_reference=large_model_reference,
                project=project,
                **place,
            )
            remembered = remember_rows(
                state_uri=state_uri,
                seen=found.outputs["seen"],
                model_resource_name=deployed.outputs["model_resource_name"],
            )
            platform.equip(remembered, Role.LIGHT)

    return pipeline


_REGISTRY = ("model_display_name", "registry_uri", "location", "regional_endpoint")
main = pipeline_command(recurring, EXAMPLE)

if __name__ == "__main__":
    main()
