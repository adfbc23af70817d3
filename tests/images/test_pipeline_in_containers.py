"""The local pipeline, each task in its container: the images that are shipped, by docker's API.

kfp reads annotations as they stand: no `from __future__ import annotations` here.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import components, dsl, local
from transformers import AutoModelForCausalLM

from kfp_llm_tuning.components.common.images import IMAGE
from kfp_llm_tuning.components.dataset import (
    dataset_encoder,
    evaluation_dataset_encoder,
    preprocess_dataset,
)
from kfp_llm_tuning.components.evaluation import batch_predict
from kfp_llm_tuning.pipelines.graphs.compile import compiled, template_text
from kfp_llm_tuning.pipelines.local_runs.local_runner import LocalRunner, TaskResult
from kfp_llm_tuning.pipelines.local_runs.platform import local_platform
from tests.images.conftest import REGISTRY
from tests.images.podman import ROOT, Podman

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]

SUPPORT = ROOT / "examples" / "support"
ROWS = {"train": 32, "evaluation": 12}


class Silent:
    def started(self, task: TaskResult) -> None: ...

    def printed(self, task: TaskResult, line: str) -> None: ...

    def finished(self, task: TaskResult) -> None: ...

    def interrupted(self, again: bool) -> None: ...


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few rows of the shipped example."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, count in ROWS.items():
        lines = (SUPPORT / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def runner(python_image: str, docker_host: str, tmp_path: Path) -> Callable[[], LocalRunner]:
    """Makes runners of one run; the tasks see its folder, the data and the registry."""
    from docker.types import Mount

    def make() -> LocalRunner:
        mount = Mount(str(tmp_path), str(tmp_path), type="bind")
        # The folder is root's; the image's own user is asked for in test_image_contents.py.
        containers = local.DockerRunner(
            mounts=[mount], user="0:0", environment={"OMP_NUM_THREADS": "1"}
        )
        return LocalRunner(tmp_path / "run", Silent(), runner=containers)

    return make


def loaded(pipeline: Any) -> Any:
    """Compiles a pipeline for the tests' registry, and loads it as a stranger would."""
    return components.load_component_from_text(compiled(pipeline, REGISTRY))


def test_every_task_of_the_template_runs_in_the_image(
    runner: Callable[[], LocalRunner], podman: Podman, data: Path, tmp_path: Path
) -> None:
    place = local_platform(tmp_path / "run", f"sqlite:///{tmp_path}/mlflow.db", {})
    pipeline = components.load_component_from_text(
        template_text("tune-large-model", place, REGISTRY)
    )
    arguments = {
        "project": "local",
        "dataset_uri": str(data / "train.jsonl"),
        "evaluation_data_uri": str(data / "evaluation.jsonl"),
        "model_display_name": "router",
        "large_model_reference": "byte-tiny",
        "train_steps": 8,
        "evaluation_interval": 4,
    }
    first = runner()
    succeeded = first.run(pipeline, arguments)
    assert succeeded, [task.log.read_text() for task in first.tasks if task.state == "failed"]
    assert {task.exit_code for task in first.tasks} == {0}
    names = {task.name for task in first.tasks}
    assert {"validate-dataset", "large-language-model-tuner", "upload-llm-model"} <= names
    assert "models/router@1" in str(first.outputs["model_resource_name"])
    (weights,) = tmp_path.glob("mlartifacts/**/model.safetensors")
    assert AutoModelForCausalLM.from_pretrained(weights.parent).num_parameters() > 0
    assert podman.call("ps", "--all", "--quiet").stdout == ""

    second = runner()
    assert second.run(pipeline, arguments)
    states = {task.name: task.state for task in second.tasks}
    assert states["large-language-model-tuner"] == "cached"


# Writes rows of the input's number; then tells where they are.
_WRITE = """
mkdir -p "$(dirname "$1")" "$(dirname "$2")"
for i in $(seq "$0"); do
    printf '{"input_text": "question %s", "output_text": "answer %s"}\\n' "$i" "$i"
done > "$1"
printf '%s' "$1" > "$2"
"""


@dsl.container_component
def write_rows(
    count: int, rows: dsl.Output[dsl.Dataset], uri: dsl.OutputPath(str)
) -> dsl.ContainerSpec:
    """Somebody's own container, of which this project knows nothing."""
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", _WRITE, count, rows.path, uri])


@dsl.container_component
def tune(
    train_dataset: dsl.Input[dsl.Dataset],
    evaluation_dataset: dsl.Input[dsl.Dataset],
    saved_model: dsl.Output[dsl.Model],
    train_steps: int,
) -> dsl.ContainerSpec:
    """The tuner's own command."""
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python", "-m", "kfp_llm_tuning.components.tuning"],
        args=[
            *("--model-reference", "byte-tiny", "--train-steps", train_steps),
            *("--train-dataset", train_dataset.path),
            *("--evaluation-dataset", evaluation_dataset.path),
            *("--output", saved_model.path),
        ],
    )


@dsl.pipeline(name="containers-beside-ours")
def containers_beside_ours(train_steps: int) -> dsl.Dataset:
    model = {"large_model_reference": "byte-tiny"}
    rows = write_rows(count=20)
    prepared = preprocess_dataset(dataset_uri=rows.outputs["uri"], **model)
    records = prepared.outputs["preprocessed"]
    training = dataset_encoder(preprocessed=records, accelerator_type="CPU", **model)
    evaluation = evaluation_dataset_encoder(preprocessed=records, accelerator_type="CPU", **model)
    tuned = tune(
        train_dataset=training.outputs["encoded"],
        evaluation_dataset=evaluation.outputs["encoded"],
        train_steps=train_steps,
    )
    answers = batch_predict(
        evaluation_records=records,
        training_records=records,
        saved_model=tuned.outputs["saved_model"],
        accelerator="CPU",
    )
    return answers.outputs["predictions"]


def test_container_components_stand_beside_ours(runner: Callable[[], LocalRunner]) -> None:
    run = runner()
    succeeded = run.run(loaded(containers_beside_ours), {"train_steps": 3})
    assert succeeded, [task.log.read_text() for task in run.tasks if task.state == "failed"]
    assert [task.name for task in run.tasks] == [
        "write-rows",
        "preprocess-dataset",
        "dataset-encoder",
        "evaluation-dataset-encoder",
        "tune",
        "batch-predict",
    ]
    (tuned,) = [task for task in run.tasks if task.name == "tune"]
    assert "step" in tuned.log.read_text().lower()
    assert Path(tuned.outputs["saved_model"], "model.safetensors").is_file()
    (predictions,) = Path(run.outputs["Output"]).glob("*.jsonl")
    assert len([json.loads(line) for line in predictions.read_text().splitlines()]) == 20
