"""What a run on Vertex AI asks for: the images that it pulls, the machines that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.common.tables import load_table
from kfp_llm_tuning.components.models.implemented import tuner_image
from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.models.model_references import resolve
from kfp_llm_tuning.components.upload.serving_machines import (
    ServingMachine,
    needs_accelerator,
    serving_machine,
)
from kfp_llm_tuning.pipelines.planning.estimate import TABLE, parameter_count, weight_megabytes
from kfp_llm_tuning.pipelines.templates.compiled_spec import constants, containers
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun

PREDICTOR = "batch-predict"
_TUNER, _ENDPOINT, _TASKS = "large-language-model-tuner", "the endpoint", "each other task"
# What Vertex AI Pipelines gives a task that asks for nothing.
_TASK_MACHINE = "e2-standard-4"
# Compute Engine names machines by their processors: e2-standard-4.
_PLAIN_QUOTA = "cpus"


@dataclass(frozen=True)
class ImageNeed:
    """An image that the run pulls.

    Attributes:
        image: Its full name.
        task: What runs in it.
        certain: Whether it is pulled in any case; the weight of some models is not known before.
    """

    image: str
    task: str
    certain: bool = True


@dataclass(frozen=True)
class MachineNeed:
    """A machine that the run takes.

    Attributes:
        task: What runs on it.
        region: Where.
        machine_type: As Compute Engine calls it; empty where Vertex AI finds one.
        accelerator_type: In Vertex AI's API; empty for none.
        accelerator_count: How many.
        name: What a user calls the machine.
        serving: Whether it serves predictions, which has a quota of its own.
        strategy: How it is obtained.
        spared: What becomes of the run without it; empty where it fails.
        fix: What to do where it is not to be had.
        count: Such machines that are taken together.
    """

    task: str
    region: str
    machine_type: str
    accelerator_type: str = ""
    accelerator_count: int = 0
    name: str = ""
    serving: bool = False
    strategy: str = "STANDARD"
    spared: str = ""
    fix: str = ""
    count: int = 1

    @property
    def quota(self) -> str:
        """Vertex AI's metric; empty where it is not known."""
        kind = _PLAIN_QUOTA
        if self.accelerator_type:
            kind = load_table(TABLE)["quotas"].get(self.accelerator_type, "")
        if not kind:
            return ""
        purpose = "serving" if self.serving else "training"
        preemptible = "" if self.strategy == "STANDARD" else "preemptible_"
        return f"custom_model_{purpose}_{preemptible}{kind}"

    @property
    def units(self) -> int:
        """How much of that metric it takes."""
        each = self.accelerator_count or int(self.machine_type.rpartition("-")[2])
        return self.count * each


def image_needs(run: VertexRun) -> list[ImageNeed]:
    """Lists the images that a run pulls.

    Args:
        run: With the spec that is sent; what follows from invalid parameters is left out.

    Returns:
        Each image once, with the first task that runs in it.
    """
    needs = [
        *(ImageNeed(container["image"], task) for task, container in containers(run.spec).items()),
        *_handed_on(run),
    ]
    return list({need.image: need for need in reversed(needs)}.values())[::-1]


def _handed_on(run: VertexRun) -> Iterator[ImageNeed]:
    """Finds the images that tasks start other containers with."""
    if not (checked := run.checked):
        return
    megabytes = weight(run)
    on_gpu = needs_accelerator(megabytes) if megabytes else None
    for task, name, value in constants(run.spec):
        if name == "image_registry" and checked.machine:
            yield ImageNeed(tuner_image(checked.machine.accelerator, value), _TUNER)
        elif name == "image" and checked.with_batch_prediction_and_evaluation:
            yield ImageNeed(value, task)
        elif name in ("serving_image", "serving_gpu_image") and not checked.registry_uri:
            wanted = on_gpu is None or on_gpu == (name == "serving_gpu_image")
            if wanted:
                yield ImageNeed(value, _ENDPOINT, certain=on_gpu is not None)


def machine_needs(run: VertexRun) -> list[MachineNeed]:
    """Lists the machines that a run takes.

    Args:
        run: With the spec that is sent.

    Returns:
        The tuner's, those of the predictions, of tasks that ask for an accelerator, of the
        endpoint, and what every other task takes; none where the parameters are invalid.
    """
    if not run.checked:
        return []
    needs = [*_tuner(run), *_predictors(run), *_accelerated(run), *_endpoint(run)]
    return [*needs, MachineNeed(_TASKS, run.settings.region, _TASK_MACHINE, name=_TASK_MACHINE)]


def _tuner(run: VertexRun) -> Iterator[MachineNeed]:
    if run.checked and (machine := run.checked.machine):
        yield MachineNeed(
            _TUNER,
            machine.region,
            machine.machine_type,
            machine.accelerator_type,
            machine.accelerator_count,
            name=machine.name
            if run.machine_count == 1
            else f"{run.machine_count} x {machine.name}",
            strategy=run.strategy,
            fix="choose another --tuning-machine",
            count=run.machine_count,
        )


def _predictors(run: VertexRun) -> Iterator[MachineNeed]:
    if not (run.checked and run.checked.with_batch_prediction_and_evaluation):
        return
    spared = (
        "" if run.value("gate_metric") else "there is no evaluation, and the model is registered"
    )
    for task, name, value in constants(run.spec):
        if name == "machine" and task == PREDICTOR and value:
            machine = select_machine("", value, stage="predict")
            yield MachineNeed(
                task,
                run.settings.region,
                machine.machine_type,
                machine.accelerator_type,
                machine.accelerator_count,
                name=machine.name,
                spared=spared,
                fix="compile with another --prediction-machine",
            )


def _accelerated(run: VertexRun) -> Iterator[MachineNeed]:
    """Reads what tasks that somebody put in the place of ours ask for."""
    for task, container in containers(run.spec).items():
        asked = container.get("resources", {}).get("accelerator", {})
        kind = asked.get("resourceType") or asked.get("type") or ""
        count = str(asked.get("resourceCount") or asked.get("count") or 1)
        # A placeholder is settled when the task starts.
        if kind and count.isdigit() and "{{" not in kind:
            region = run.settings.region
            yield MachineNeed(task, region, "", kind, int(count), name=f"{count} x {kind}")


def _endpoint(run: VertexRun) -> Iterator[MachineNeed]:
    if not run.checked or run.checked.registry_uri or not run.value("deploy_model"):
        return
    machine = _serving_machine(weight(run))
    if machine:
        yield MachineNeed(
            _ENDPOINT,
            run.checked.model_location,
            machine.machine_type,
            machine.accelerator_type,
            machine.accelerator_count,
            name=machine.machine_type,
            serving=True,
            fix="give --deploy-model false",
        )


def weight(run: VertexRun) -> int:
    """Reckons what the model weighs, in megabytes; 0 where neither sizes nor name tell."""
    checkpoint = resolve(str(run.value("large_model_reference"))).checkpoint
    return weight_megabytes(parameter_count(checkpoint))


def _serving_machine(megabytes: int) -> ServingMachine | None:
    """Chooses the machine; None where none serves the model, or where its weight is not known."""
    try:
        return serving_machine(megabytes) if megabytes else None
    except UserError:
        # The tuned model is registered; the task that deploys it says what stands against that.
        return None
