"""A larger pipeline around ours: prepare data, tune, hold a gate, deploy, and tell how it ended.

    python examples/mlops.py run
    python examples/mlops.py compile --platform vertex --image-registry REGISTRY

Yours are ``prepare-messages``, which makes two sets of one file without what is doubled or
personal; ``every-team-is-found``, a gate that no single metric can hold; and ``notify``, which runs
at the end whether the rest succeeded or not. Ours are ``validate-pipeline``, ``tuning-graph``,
``evaluation-graph`` and ``deployment-graph``, which is left out where the gate stays shut.

With ``--webhook-url`` the end is posted there as JSON; it is in the task's log anyway.
"""

from pathlib import Path
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output, PipelineTaskFinalStatus

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.pipelines.graphs import deployment_graph, tuning_graph
from kfp_llm_tuning.pipelines.graphs.evaluation_graph import evaluation_graph
from kfp_llm_tuning.pipelines.graphs.platform import Platform, Role
from kfp_llm_tuning.pipelines.graphs.tuning_steps import add_validation
from kfp_llm_tuning.pipelines.own_pipeline import pipeline_command

EXAMPLE = {"messages_uri": str(Path(__file__).parent / "support" / "train.jsonl")}


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare_messages(
    messages_uri: str, prepared: Output[Dataset], held_out_percent: int
) -> NamedTuple("Outputs", training_uri=str, evaluation_uri=str):  # type: ignore[valid-type]
    """Masks addresses, drops what is doubled, and holds some messages out for the evaluation.

    Args:
        messages_uri: Messages with their teams, JSONL.
        prepared: Folder of train.jsonl and evaluation.jsonl.
        held_out_percent: How many of a hundred messages are held out; a message never changes
            sides, whatever comes after it.

    Returns:
        training_uri: The training set.
        evaluation_uri: The evaluation set.
    """
    import hashlib
    import json
    import logging
    import re
    from pathlib import Path

    from kfp_llm_tuning.components.common.storage import open_input

    sets: dict[str, dict[str, str]] = {"train": {}, "evaluation": {}}
    with open_input(messages_uri) as lines:
        for row in map(json.loads, lines):
            row["input_text"] = re.sub(
                r"(?<!\S)\S+@\S+", "ADDRESS", " ".join(row["input_text"].split())
            )
            digest = hashlib.sha256(row["input_text"].encode()).digest()
            held_out = int.from_bytes(digest[:4], "big") % 100 < held_out_percent
            sets["evaluation" if held_out else "train"][row["input_text"]] = json.dumps(row)
    folder = Path(prepared.path)
    folder.mkdir(parents=True)
    for name, rows in sets.items():
        (folder / f"{name}.jsonl").write_text("\n".join(rows.values()), encoding="utf-8")
        logging.info("%s: %d messages", name, len(rows))
    return f"{prepared.uri}/train.jsonl", f"{prepared.uri}/evaluation.jsonl"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def every_team_is_found(evaluation: Input[Artifact], least_recall: float) -> bool:
    """Tells whether enough messages of every team are routed to it.

    Args:
        evaluation: Output of evaluate-model.
        least_recall: Share of a team's messages that must reach it.
    """
    import json
    import logging
    from pathlib import Path

    found = json.loads((Path(evaluation.path) / "evaluation.json").read_text(encoding="utf-8"))
    teams = found["tuned"]["classification"]
    recalls = {
        label: row[number] / max(sum(row), 1)
        for number, (label, row) in enumerate(
            zip(teams["labels"], teams["confusion_matrix"], strict=True)
        )
    }
    logging.info("recall of each team: %s; needed: %s", recalls, least_recall)
    return bool(min(recalls.values()) >= least_recall)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def notify(model_display_name: str, webhook_url: str, status: PipelineTaskFinalStatus) -> None:
    """Tells how the run ended.

    Args:
        model_display_name: What was tuned.
        webhook_url: Gets the message as JSON; empty: nobody does.
        status: The end of all tasks but this one.
    """
    import json
    import logging
    import urllib.request

    message = {"model": model_display_name, "state": status.state}
    if status.error_message:
        message["error"] = status.error_message
    logging.info(json.dumps(message))
    if webhook_url:
        body = json.dumps(message).encode()
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(webhook_url, body, headers), timeout=60)


def mlops(platform: Platform) -> dsl.base_component.BaseComponent:
    """Builds the pipeline.

    Args:
        platform: What it is built for.

    Returns:
        The pipeline.
    """
    tune = tuning_graph.tuning_graph(platform)
    evaluate = evaluation_graph(platform)
    deploy = deployment_graph.deployment_graph(platform)

    @dsl.pipeline(name="mlops", description="Prepares messages, tunes, gates, deploys, notifies.")
    def pipeline(
        messages_uri: str,
        project: str = "example",
        model_display_name: str = "support-router",
        large_model_reference: str = "byte-tiny",
        train_steps: int = 200,
        held_out_percent: int = 20,
        least_recall: float = 0.5,
        webhook_url: str = "",
    ) -> None:
        """Prepares messages, tunes, gates, deploys, notifies.

        Args:
            messages_uri: Messages with their teams, JSONL.
            project: Google Cloud project; any name elsewhere.
            model_display_name: Name of the tuned model.
            large_model_reference: What is tuned.
            train_steps: Batches to train on.
            held_out_percent: Share of the messages that are held out for the evaluation.
            least_recall: Share of each team's messages that must reach it.
            webhook_url: Gets a message at the end; empty: nobody does.
        """
        told = notify(model_display_name=model_display_name, webhook_url=webhook_url)
        with dsl.ExitHandler(told):
            prepared = prepare_messages(
                messages_uri=messages_uri, held_out_percent=held_out_percent
            )
            asked: dict[str, Any] = {"project": project, "train_steps": train_steps}
            data = {
                "dataset_uri": prepared.outputs["training_uri"],
                "evaluation_data_uri": prepared.outputs["evaluation_uri"],
            }
            validated = add_validation(
                platform,
                model=large_model_reference,
                model_display_name=model_display_name,
                **asked,
                **data,
            )
            tuned = tune(
                large_model_reference=large_model_reference,
                **asked,
                **data,
                **tuning_graph.decisions(validated),
            )
            evaluated = evaluate(
                saved_model=tuned.outputs["saved_model"],
                tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
                training_records=tuned.outputs["training_records"],
                evaluation_records=tuned.outputs["evaluation_records"],
                large_model_reference=large_model_reference,
                accelerator=validated.outputs["tuning_accelerator"],
            )
            gate = every_team_is_found(
                evaluation=evaluated.outputs["evaluation"], least_recall=least_recall
            )
            for task in (told, prepared, gate):
                platform.equip(task, Role.LIGHT)
            with dsl.If(gate.output == True, name="gate"):  # noqa: E712 (kfp's condition)
                deploy(
                    saved_model=tuned.outputs["saved_model"],
                    tensorboard_metrics=tuned.outputs["tensorboard_metrics"],
                    validation_report=tuned.outputs["validation_report"],
                    evaluation=evaluated.outputs["evaluation"],
                    large_model_reference=large_model_reference,
                    project=project,
                    **deployment_graph.decisions(validated),
                )

    return pipeline


main = pipeline_command(mlops, EXAMPLE)

if __name__ == "__main__":
    main()
