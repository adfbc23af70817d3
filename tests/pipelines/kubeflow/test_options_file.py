"""Options of a cluster: their defaults, what a file changes, and every way to get them wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models.machine_specs import machine_names
from kfp_llm_tuning.pipelines.graphs.platform import Role
from kfp_llm_tuning.pipelines.kubeflow.options import KubeflowOptions
from kfp_llm_tuning.pipelines.kubeflow.options_file import (
    DEFAULTS,
    default_options,
    options_from,
    read_options,
)
from tests.pipelines.kubeflow.conftest import EVERYTHING

CLAIM = {"claim": "models", "mount_path": "/mnt/models"}


def problems(given_options: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        options_from(given_options)
    return [str(problem) for problem in caught.value.problems]


def tuner(**changes: Any) -> dict[str, Any]:
    return {"tasks": {"tuner": changes}}


BROKEN: dict[str, tuple[Any, str, str]] = {
    "no mapping": ([], "[] cannot be here", "a mapping of options"),
    "misspelt option": ({"claim": []}, "claim: unknown option", "Did you mean claims?"),
    "misspelt role": ({"tasks": {"tunr": {}}}, "tasks.tunr: unknown", "Did you mean tuner?"),
    "misspelt field": (tuner(memory_limits="1Gi"), "tasks.tuner.memory_limits", "memory_limit?"),
    "empty section": ({"tasks": None}, "tasks: None cannot be here", "light, tuner"),
    "number of processors": (tuner(cpu_request=8), "tasks.tuner.cpu_request: 8", "in quotes"),
    "memory in words": (tuner(memory_request="8 GB"), "'8 GB' cannot be here", "such as 64Gi"),
    "memory in a unit of none": (tuner(memory_limit="8K"), "'8K' cannot be here", "64Gi"),
    "retries below none": (tuner(retries=-1), "tasks.tuner.retries: -1", "from 0 to 100"),
    "no time": (tuner(timeout_seconds=0), "tasks.tuner.timeout_seconds: 0", "seconds"),
    "half a factor": ({"retry_pause_factor": 1.5}, "retry_pause_factor: 1.5", "whole number"),
    "policy in lower case": ({"image_pull_policy": "always"}, "'always'", "IfNotPresent"),
    "illegal secret": (
        {"secret_environment": [{"secret": "My_Secret", "keys": {"a": "A"}}]},
        "secret_environment[0].secret: 'My_Secret'",
        "lower-case letters",
    ),
    "illegal variable": (
        {"secret_environment": [{"secret": "hub", "keys": {"token": "1ST"}}]},
        "secret_environment[0].keys.token: '1ST'",
        "such as HF_TOKEN",
    ),
    "secret without keys": (
        {"secret_environment": [{"secret": "hub", "keys": {}}]},
        "secret_environment[0].keys: {}",
        "at least one",
    ),
    "entry that lacks everything": (
        {"claims": [{}]},
        "claims[0]: claim, mount_path is missing",
        "",
    ),
    "relative path": (
        {"claims": [{"claim": "models", "mount_path": "models"}]},
        "claims[0].mount_path: 'models'",
        "an absolute path",
    ),
    "unknown role of a claim": (
        {"claims": [{**CLAIM, "tasks": ["tuners"]}]},
        "claims[0].tasks[0]: 'tuners'",
        "light, tuner, predictor, registry",
    ),
    "illegal label": ({"pod_labels": {"team": "a b"}}, "pod_labels.team: 'a b'", "63 letters"),
    "label that is a number": ({"pod_labels": {"cost": 7}}, "pod_labels.cost: 7", "in quotes"),
    "variable that is a number": ({"environment": {"N": 1}}, "environment.N: 1", "in quotes"),
    "user by name": ({"security_context": {"run_as_user": "me"}}, "'me' cannot be", "number"),
    "unknown effect": (
        tuner(tolerations=[{"key": "gpu", "effect": "NoStart"}]),
        "tasks.tuner.tolerations[0].effect: 'NoStart'",
        "NoSchedule",
    ),
    "toleration without a key": (
        tuner(tolerations=[{"effect": "NoSchedule"}]),
        "tasks.tuner.tolerations[0]: has no key",
        "operator: Exists",
    ),
    "toleration of every value with one": (
        tuner(tolerations=[{"key": "gpu", "operator": "Exists", "value": "a"}]),
        "has a value",
        "Exists asks for a key only",
    ),
    "toleration for a time": (
        tuner(tolerations=[{"key": "gpu", "toleration_seconds": 60}]),
        "has toleration_seconds",
        "NoExecute",
    ),
    "unknown machine": (tuner(machine="h10-8"), "tasks.tuner.machine: no machine", "h100-8?"),
    "TPU": (
        tuner(machine="tpu-v6e-4", accelerator_count=2),
        "tasks.tuner.machine: tpu-v6e-4 is a TPU machine, and no engine of this version tunes on",
        "a100-80gb-1",
    ),
    "GPUs of processors": (
        tuner(machine="cpu-16", accelerator_count=2),
        "tasks.tuner.accelerator_count: cpu-16 has no GPUs to count",
        "0, or a machine with GPUs",
    ),
    "GPUs of nothing": (
        tuner(machine="", accelerator_count=1),
        "tasks.tuner.accelerator_count: there is no machine with GPUs",
        "",
    ),
    "predictions on TPU": (
        {"tasks": {"predictor": {"machine": "tpu-v6e-4"}}},
        "tasks.predictor.machine: tpu-v6e-4 is a TPU machine, "
        "and no engine of this version predicts on TPU",
        "a100-80gb-1",
    ),
    "serving on TPU": (
        {"kserve": {"machine": "tpu-v6e-4"}},
        "kserve.machine: tpu-v6e-4 is a TPU machine, and no engine of this version serves on TPU",
        "a100-80gb-1",
    ),
    "light tasks on TPU": (
        {"tasks": {"light": {"machine": "tpu-v6e-4"}}},
        "tasks.light.machine: tpu-v6e-4 is a TPU machine, and no engine of this version runs on",
        "a100-80gb-1",
    ),
    "more than the limit": (
        tuner(memory_request="64Gi", memory_limit="60G"),
        "tasks.tuner.memory_request: is more than memory_limit, 60G",
        "",
    ),
    "more processors than the limit": (
        tuner(cpu_request="2", cpu_limit="1500m"),
        "tasks.tuner.cpu_request: is more than cpu_limit, 1500m",
        "",
    ),
    "volume without a class": (
        {"run_volume": {"size": "10Gi"}},
        "run_volume.storage_class: is empty",
        "a storage class",
    ),
    "claim twice": (
        {"claims": [CLAIM, {**CLAIM, "mount_path": "/mnt/again"}]},
        "models is mounted twice",
        "in the tasks of light, tuner, predictor, registry",
    ),
    "two volumes at a path": (
        {"claims": [CLAIM, {**CLAIM, "claim": "other", "tasks": ["tuner"]}]},
        "/mnt/models has two volumes (in the tasks of tuner)",
        "",
    ),
    "volume of the run over a claim": (
        {
            "claims": [CLAIM],
            "run_volume": {"size": "1Gi", "storage_class": "s", "mount_path": "/mnt/models"},
        },
        "/mnt/models has two volumes (in the tasks of tuner)",
        "",
    ),
    "variable with two values": (
        {
            "environment": {"HF_TOKEN": "x"},
            "secret_environment": [{"secret": "hub", "keys": {"token": "HF_TOKEN"}}],
        },
        "HF_TOKEN has two values",
        "",
    ),
    "no registry": (
        {"mlflow_tracking_uri": "mlflow:5000"},
        "mlflow_tracking_uri: 'mlflow:5000' is no registry",
        "http",
    ),
    "password of a registry": (
        {"mlflow_tracking_uri": "https://ann:s3cret@mlflow"},
        "mlflow_tracking_uri: https://ann:***@mlflow holds a password",
        "secret_environment",
    ),
    "checkpoints in the pod": (
        {"checkpoint_root": "/tmp/checkpoints"},
        "checkpoint_root: /tmp/checkpoints is in the tuner's pod",
        "a path on a claim",
    ),
    "checkpoints on a claim of others": (
        {"claims": [{**CLAIM, "tasks": ["light"]}], "checkpoint_root": "/mnt/models/c"},
        "checkpoint_root: /mnt/models/c is in the tuner's pod",
        "",
    ),
    "a TrainJob that shares no folder": (
        {"train_job": {"enabled": True}},
        "checkpoint_root: is empty: a TrainJob's nodes and the task that makes it share no folder.",
        "a path on a claim that many nodes may mount",
    ),
    "fewest above most": (
        {"kserve": {"min_replicas": 2}},
        "kserve.min_replicas: is more than max_replicas",
        "",
    ),
    "KServe on TPU": (
        {"kserve": {"machine": "tpu-v6e-4"}},
        "kserve.machine: tpu-v6e-4 is a TPU machine",
        "",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_mistake_has_its_message(kind: str) -> None:
    broken, what, advice = BROKEN[kind]
    found = problems(broken)
    assert len(found) == 1, found
    assert what in found[0]
    assert advice in found[0]


def test_all_mistakes_are_told_at_once() -> None:
    form = {"task": {}, "claims": [{}], "image_pull_policy": "no", "tasks": {"tuner": {"cpu": "1"}}}
    assert len(problems(form)) == 4
    sense = {
        "tasks": {"tuner": {"machine": "h10-8"}, "predictor": {"machine": "tpu-v6e-4"}},
        "run_volume": {"size": "1Gi"},
        "checkpoint_root": "/tmp/c",
        "mlflow_tracking_uri": "x",
    }
    assert len(problems(sense)) == 5


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("clams: []\n")
    with pytest.raises(UserError, match=r"cluster\.yaml: clams: unknown option"):
        read_options(path)
    path.write_text("claims: [\n")
    with pytest.raises(UserError, match="is not YAML"):
        read_options(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_options(tmp_path / "none.yaml")


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("# nothing yet\n")
    assert read_options(path) == default_options()


def test_the_default_file_names_every_option_and_keeps_the_schema() -> None:
    defaults = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    schema = json.loads(DEFAULTS.with_suffix(".schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(defaults, schema)
    assert set(schema["properties"]) == set(defaults)
    for section in ("run_volume", "scratch", "tasks", "kserve"):
        definition = schema["properties"][section]
        if "$ref" in definition:
            definition = schema["$defs"][definition["$ref"].rpartition("/")[2]]
        assert set(definition["properties"]) == set(defaults[section]), section
    for role in Role:
        assert set(defaults["tasks"][role]) == set(schema["$defs"]["task"]["properties"])
    assert read_options(DEFAULTS) == default_options()


def test_a_file_holds_only_what_it_changes() -> None:
    changed = options_from({"tasks": {"tuner": {"machine": "h100-8"}}, "pod_labels": {"a": "b"}})
    expected = default_options().to_mapping()
    expected["tasks"]["tuner"]["machine"] = "h100-8"
    expected["pod_labels"] = {"a": "b"}
    assert changed.to_mapping() == expected


def test_the_defaults_are_not_changed_by_a_file() -> None:
    before = copy.deepcopy(default_options())
    options_from(EVERYTHING)
    assert default_options() == before


def test_where_checkpoints_are_kept() -> None:
    assert default_options().checkpoint_directory == ""
    volume = {"size": "1Gi", "storage_class": "s"}
    assert options_from({"run_volume": volume}).checkpoint_directory == "/mnt/run/checkpoints"
    both = options_from({"run_volume": volume, "checkpoint_root": "s3://b/c"})
    assert both.checkpoint_directory == "s3://b/c"
    on_claim = options_from({"claims": [CLAIM], "checkpoint_root": "/mnt/models/c"})
    assert on_claim.checkpoint_directory == "/mnt/models/c"


@pytest.mark.parametrize(
    ("machine", "accelerator"),
    [("", "CPU"), ("cpu-16", "CPU"), ("h100-8", "GPU")],
)
def test_the_tuners_accelerator(machine: str, accelerator: str) -> None:
    options = options_from(tuner(machine=machine))
    assert options.tuner_accelerator == accelerator
    assert options.without_accelerators().tuner_accelerator == "CPU"


NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
MEMORY = st.sampled_from(["", "1Gi", "64Gi", "500M", "1Ti"])
RUNNABLE = [*machine_names(), ""]
TASKS = st.fixed_dictionaries(
    {},
    optional={
        "machine": st.sampled_from(RUNNABLE),
        "shared_memory": MEMORY,
        "memory_limit": st.just("100Ti"),
        "cpu_request": st.sampled_from(["", "500m", "8", "1.5"]),
        "node_selector": st.dictionaries(NAMES, NAMES, max_size=3),
        "tolerations": st.lists(
            st.fixed_dictionaries(
                {"key": NAMES, "operator": st.sampled_from(["Exists", "Equal"])},
                optional={"effect": st.sampled_from(["NoSchedule", "NoExecute"])},
            ),
            max_size=3,
        ),
        "timeout_seconds": st.integers(1, 10**6),
        "retries": st.integers(0, 10),
    },
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "mlflow_tracking_uri": st.sampled_from(["", "http://mlflow:5000", "sqlite:////m/db"]),
        "checkpoint_root": st.sampled_from(["", "s3://bucket/c", "gs://bucket/c"]),
        "claims": st.lists(
            st.builds(
                lambda name, roles: {"claim": name, "mount_path": f"/mnt/{name}", "tasks": roles},
                NAMES,
                st.lists(st.sampled_from(list(map(str, Role))), min_size=1, unique=True),
            ),
            max_size=3,
            unique_by=lambda claim: claim["claim"],
        ),
        "environment": st.dictionaries(
            st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True), st.text(max_size=20)
        ),
        "image_pull_secrets": st.lists(NAMES, max_size=3, unique=True),
        "security_context": st.fixed_dictionaries(
            {}, optional={"run_as_user": st.integers(0, 65535), "run_as_non_root": st.booleans()}
        ),
        "tasks": st.fixed_dictionaries({}, optional={"tuner": TASKS}),
    },
)


@given(OPTIONS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_options_survive_a_file(given_options: dict[str, Any]) -> None:
    options = options_from(given_options)
    written = yaml.safe_load(yaml.safe_dump(options.to_mapping(), allow_unicode=True))
    assert options_from(written) == options
    # What was given is there; the rest is the default.
    mapping = options.to_mapping()
    for name, value in given_options.items():
        if isinstance(value, str):
            assert mapping[name] == value
    untouched = set(mapping) - set(given_options)
    defaults = default_options().to_mapping()
    assert all(mapping[name] == defaults[name] for name in untouched)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
SECTIONS = st.sampled_from(list(default_options().to_mapping()))


@given(st.one_of(JSON, st.dictionaries(SECTIONS, JSON, max_size=3)))
@settings(max_examples=150, deadline=None)
def test_anything_gives_options_or_a_users_mistake(anything: Any) -> None:
    try:
        assert isinstance(options_from(anything), KubeflowOptions)
    except UserError as error:
        assert all(problem.what for problem in error.problems)


def test_the_example_of_the_docs_can_be_used() -> None:
    page = Path(__file__).parents[3] / "docs" / "kubeflow.md"
    example = page.read_text(encoding="utf-8").split("```yaml\n")[1].partition("```")[0]
    options = options_from(yaml.safe_load(example))
    assert options.tasks.tuner.gpus == 8
    assert options.checkpoint_directory == "s3://tuning/checkpoints"
