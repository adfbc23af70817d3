"""Every argument of the table reaches the tuner from the command line, on all three platforms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kfp_llm_tuning.components.models.machine_specs import select_machine
from kfp_llm_tuning.components.parameters.pipeline import TEXT
from kfp_llm_tuning.components.parameters.row import Parameter
from kfp_llm_tuning.components.parameters.tuner import ARGUMENTS
from kfp_llm_tuning.components.tuning import compose_params_for_model_tuner
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.custom_job import BETWEEN_OUTPUTS
from kfp_llm_tuning.pipelines.commands import run as run_command
from kfp_llm_tuning.pipelines.graphs.compile import template_text
from kfp_llm_tuning.pipelines.local_runs import run_record, tuning_run
from kfp_llm_tuning.pipelines.local_runs.platform import local_platform
from tests.components.tuning.test_compose import _Artifact, _folders
from tests.pipelines.conftest import Call

Spec = dict[str, Any]
# Where the root input has other values than the argument: what is given, and what is to arrive.
OTHER_VALUES: dict[str, tuple[Any, Any]] = {
    "model_reference": ("qwen3-0.6b", "qwen3-0.6b"),
    "display_name": ("another-name", "another-name"),
    "tuning": ("full", "full"),
    "enable_checkpoint_selection": ("true", True),
    # Refused with what else is given; see `ALONE`.
    "load_in_4bit": ("false", False),
}
# Arguments that may not be given with the others' values here, and their own.
ALONE = {"load_in_4bit": True}


def another(argument: Parameter) -> Any:
    """A value that may be, and is not the default."""
    if argument.type is bool:
        return not TEXT[argument.root_input].default
    if argument.type is str:
        return argument.choices[-1] if argument.choices else "q_proj,v_proj"
    assert argument.maximum is not None
    raised = argument.default + 1
    return raised if raised <= argument.maximum else argument.maximum / 2


GIVEN = {
    name: OTHER_VALUES[name] if name in OTHER_VALUES else (another(argument),) * 2
    for name, argument in ARGUMENTS.items()
}
EXPECTED = {name: expected for name, (_, expected) in GIVEN.items()}


def options() -> list[str]:
    """Every argument as an option of the command."""
    return [
        word
        for name, (given, _) in GIVEN.items()
        for word in (TEXT.get(ARGUMENTS[name].root_input, ARGUMENTS[name]).option, str(given))
    ]


def as_kfp_hands_over(value: Any) -> Any:
    """Numbers in an object travel as doubles."""
    return json.loads(json.dumps(value), parse_int=float) if isinstance(value, dict) else value


def composed(spec: Spec, given: dict[str, Any], folder: Path, machine_spec: str = "") -> Any:
    """Composes as the compiled pipeline does: each input from where the graph takes it."""
    root = {
        name: given.get(name, definition.get("defaultValue"))
        for name, definition in spec["root"]["inputDefinitions"]["parameters"].items()
    }
    decided = {
        "model_display_name": root["model_display_name"],
        "machine_spec": machine_spec,
        "use_tpu": False,
    }
    graph_task = spec["root"]["dag"]["tasks"]["tuning-graph"]
    graph = spec["components"][graph_task["componentRef"]["name"]]
    task = graph["dag"]["tasks"]["compose-params-for-model-tuner"]
    outer = _values(graph_task, root, decided)
    inputs = _values(task, outer, {})
    train, evaluation = _folders(folder, 30)
    return compose_params_for_model_tuner.python_func(
        train_dataset=_Artifact(train), evaluation_dataset=_Artifact(evaluation), **inputs
    )


def _values(task: Spec, outer: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, source in task["inputs"]["parameters"].items():
        if "runtimeValue" in source:
            found[name] = source["runtimeValue"]["constant"]
        elif "componentInputParameter" in source:
            found[name] = as_kfp_hands_over(outer[source["componentInputParameter"]])
        else:
            found[name] = outputs.get(source["taskOutputParameter"]["outputParameterKey"], "")
    return found


def tuner_input(spec: Spec, name: str) -> Spec:
    """Says which output the tuner's task is given as an input."""
    tasks = [
        task
        for component in spec["components"].values()
        for key, task in component.get("dag", {}).get("tasks", {}).items()
        if key == "large-language-model-tuner"
    ]
    (task,) = tasks
    source: Spec = task["inputs"]["parameters"][name]["taskOutputParameter"]
    return source


@pytest.fixture(scope="module")
def local_spec(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    """The text template as this machine runs it."""
    platform = local_platform(tmp_path_factory.mktemp("local"), "", {})
    spec: Spec = yaml.load(template_text("tune-large-model", platform), Loader=yaml.CSafeLoader)
    return spec


def test_what_is_given_is_not_what_the_tuner_does_anyway(local_spec: Spec, tmp_path: Path) -> None:
    usual = {"project": "p", "model_display_name": "m", "large_model_reference": "qwen3-1.7b"}
    arguments = TuningArguments.from_json(composed(local_spec, usual, tmp_path)[1])
    same = {name for name, value in EXPECTED.items() if getattr(arguments, name) == value}
    assert same == set(ALONE)


def test_what_others_exclude_is_handed_over_too(local_spec: Spec, tmp_path: Path) -> None:
    given = {"project": "p", "model_display_name": "m", "large_model_reference": "qwen3-1.7b"}
    payload = composed(local_spec, given | {"tuner_arguments": ALONE}, tmp_path)[1]
    assert ALONE.items() <= json.loads(payload).items()


def test_a_run_on_this_machine_hands_over_every_argument(
    call: Call, local_spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(run_command, "_run_in", lambda folder: made.append(folder) or 0)
    monkeypatch.setattr(tuning_run, "_model_problems", lambda *_: [])
    for name in ("train", "evaluation"):
        (tmp_path / f"{name}.jsonl").write_text("{}", encoding="utf-8")
    data = ["--dataset-uri", str(tmp_path / "train.jsonl")]
    data += ["--evaluation-data-uri", str(tmp_path / "evaluation.jsonl")]
    result = call("run", *data, *options(), "--output-dir", str(tmp_path / "runs"))
    assert result.exit_code == 0, result.output
    record = run_record.read(made[0])
    assert record.template == "tune-large-model"
    assert tuner_input(local_spec, "payload")["outputParameterKey"] == "payload"
    payload = composed(local_spec, dict(record.parameters), tmp_path)[1]
    assert json.loads(payload) == EXPECTED


def test_a_pod_is_handed_every_argument(call: Call, run_words: list[str], tmp_path: Path) -> None:
    words = [*run_words, "--evaluation-data-uri", "s3://bucket/evaluation.jsonl", *options()]
    body = json.loads(call("submit", *words, "--dry-run").stdout)
    spec, given = body["pipeline_spec"], body["runtime_config"]["parameters"]
    spec = spec.get("pipeline_spec", spec)
    assert tuner_input(spec, "payload")["outputParameterKey"] == "payload"
    payload = composed(spec, given, tmp_path)[1]
    assert json.loads(payload) == EXPECTED


def test_a_custom_job_has_every_argument(call: Call, job_words: list[str], tmp_path: Path) -> None:
    words = [*job_words, "--evaluation-data-uri", "gs://bucket/evaluation.jsonl", *options()]
    body = json.loads(call("submit", *words, "--dry-run").stdout)
    spec, given = body["pipelineSpec"], body["runtimeConfig"]["parameterValues"]
    parts = [tuner_input(spec, f"payload_{part}_part") for part in ("first", "second")]
    keys = [part["outputParameterKey"] for part in parts]
    assert keys == ["payload_first_part", "payload_second_part"]
    _, _, first, second = composed(spec, given, tmp_path, select_machine("GPU").to_json())
    job = json.loads(f'{{"display_name": "tuner", {first}MODEL{BETWEEN_OUTPUTS}METRICS{second}')
    (pool,) = job["job_spec"]["worker_pool_specs"]
    arguments = pool["container_spec"]["args"]
    assert json.loads(arguments[arguments.index("--payload") + 1]) == EXPECTED
