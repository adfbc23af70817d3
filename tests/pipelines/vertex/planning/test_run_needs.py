"""The images and machines of a run, read out of the spec that is sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from kfp_llm_tuning.components.common.images import image_name
from kfp_llm_tuning.pipelines.compiling.compiled_files import compile_template
from kfp_llm_tuning.pipelines.requests.request import Request
from kfp_llm_tuning.pipelines.vertex.job_request import checked_parameters
from kfp_llm_tuning.pipelines.vertex.job_settings import JobSettings, settle
from kfp_llm_tuning.pipelines.vertex.planning.prediction_room import (
    _rooms,
    _too_small,
    check_prediction_room,
)
from kfp_llm_tuning.pipelines.vertex.planning.run_needs import (
    PREDICTOR,
    MachineNeed,
    image_needs,
    machine_needs,
)
from kfp_llm_tuning.pipelines.vertex.planning.vertex_run import VertexRun

REGISTRY = "us-docker.pkg.dev/p/r"
EVALUATED = {"evaluation_data_uri": "gs://b/e.jsonl"}


@pytest.fixture(scope="module")
def spec() -> Mapping[str, Any]:
    return compile_template("tune-large-model", "vertex", REGISTRY)


def planned(spec: Mapping[str, Any], **values: Any) -> VertexRun:
    given = {
        "project": "my-project",
        "location": "us-west1",
        "accelerator_type": "GPU",
        "model_display_name": "m",
        "dataset_uri": "gs://b/t.jsonl",
        "large_model_reference": "byte-tiny",
        **values,
    }
    request, settings = settle(Request("tune-large-model", given), JobSettings(region="us-west1"))
    _, checked = checked_parameters(request, settings)
    return VertexRun(request.template, request.values, checked, settings, None, spec)


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({}, {"python", "gpu", "serving"}),
        (EVALUATED, {"python", "gpu", "serving", "serving-gpu"}),
        ({"tuning_machine": "cpu-16"}, {"python", "serving"}),
        ({"large_model_reference": "hf://a/b-7B"}, {"python", "gpu", "serving-gpu"}),
        ({"registry_uri": "http://mlflow:5000"}, {"python", "gpu"}),
    ],
)
def test_the_images_are_those_that_are_pulled(
    spec: Mapping[str, Any], values: dict[str, Any], kinds: set[str]
) -> None:
    needs = image_needs(planned(spec, **values))
    assert {need.image for need in needs} == {image_name(kind, REGISTRY) for kind in kinds}
    assert all(need.certain for need in needs)


def test_either_server_may_be_needed_where_the_weight_is_not_known(spec: Mapping[str, Any]) -> None:
    needs = image_needs(planned(spec, large_model_reference="gs://b/model"))
    uncertain = {need.image for need in needs if not need.certain}
    assert uncertain == {image_name(kind, REGISTRY) for kind in ("serving", "serving-gpu")}


@pytest.mark.parametrize(
    ("values", "machines"),
    [
        (
            EVALUATED,
            {
                ("custom_model_training_nvidia_a100_80gb_gpus", "us-central1", 8),
                ("custom_model_training_nvidia_l4_gpus", "us-west1", 1),
                ("custom_model_serving_cpus", "us-west1", 4),
                ("custom_model_training_cpus", "us-west1", 4),
            },
        ),
        (
            {
                "large_model_reference": "hf://a/b-30B",
                "tuning_machine": "cpu-16",
                "tuning_strategy": "SPOT",
            },
            {
                ("custom_model_training_preemptible_cpus", "us-central1", 16),
                ("custom_model_serving_nvidia_l4_gpus", "us-west1", 4),
                ("custom_model_training_cpus", "us-west1", 4),
            },
        ),
        (
            {"deploy_model": False, "tuning_machine_count": 3},
            {
                ("custom_model_training_nvidia_a100_80gb_gpus", "us-central1", 24),
                ("custom_model_training_cpus", "us-west1", 4),
            },
        ),
    ],
)
def test_each_machine_has_its_quota(
    spec: Mapping[str, Any], values: dict[str, Any], machines: set[tuple[str, str, int]]
) -> None:
    needs = machine_needs(planned(spec, **values))
    assert {(need.quota, need.region, need.units) for need in needs} == machines


def test_a_task_that_asks_for_an_accelerator_itself() -> None:
    resources = {"accelerator": {"resourceType": "NVIDIA_TESLA_T4", "resourceCount": "2"}}
    container = {"image": "registry.test/own:1", "resources": resources}
    own = {"deploymentSpec": {"executors": {"exec-own": {"container": container}}}}
    (need,) = (one for one in machine_needs(planned(own)) if one.task == "own")
    assert (need.quota, need.units) == ("custom_model_training_nvidia_t4_gpus", 2)
    assert [one.image for one in image_needs(planned(own))] == ["registry.test/own:1"]


def test_without_valid_parameters_only_the_tasks_are_known(spec: Mapping[str, Any]) -> None:
    run = VertexRun("tune-large-model", {}, None, JobSettings(), None, spec)
    assert {need.image for need in image_needs(run)} == {image_name("python", REGISTRY)}
    assert machine_needs(run) == []


def test_of_invalid_parameters_no_memory_is_told(spec: Mapping[str, Any]) -> None:
    values = {"large_model_reference": "text-bisn@001"}
    run = VertexRun("tune-large-model", values, None, JobSettings(), None, spec)
    assert [*check_prediction_room(run)] == []


@pytest.mark.parametrize(
    ("values", "status", "said"),
    [
        ({"large_model_reference": "llama-3.3-70b-instruct"}, "warning", "no evaluation"),
        (
            {"large_model_reference": "llama-3.3-70b-instruct", "gate_metric": "rougeL"},
            "problem",
            "gate_metric",
        ),
    ],
)
def test_predictions_that_their_machine_does_not_hold_are_told_before(
    spec: Mapping[str, Any], values: dict[str, Any], status: str, said: str
) -> None:
    (found,) = check_prediction_room(planned(spec, **EVALUATED, **values))
    assert found.status == status and said in found.text
    assert "l4-1" in found.text and "24 GB" in found.text and "141 GB" in found.text
    assert "--prediction-machine" in found.fix


def test_a_disk_that_holds_no_model_is_told_as_memory_is() -> None:
    need = MachineNeed(PREDICTOR, "here", "g2-standard-12", "NVIDIA_L4", 1, name="l4-1")
    assert dict(_rooms(need)) == {"memory": pytest.approx(23.6), "disk": pytest.approx(170)}
    found = _too_small(dataclasses.replace(need, fix="choose another"), "disk", 170, 200)
    assert (found.subject, found.status) == ("disk", "problem")
    assert "170 GB of disk" in found.text and found.fix == "Choose another."


def test_predictions_that_fit_are_passed_over(spec: Mapping[str, Any]) -> None:
    for reference in ("qwen3-8b", "hf://somebody/of-unknown-size"):
        assert not [
            *check_prediction_room(planned(spec, **EVALUATED, large_model_reference=reference))
        ]
    seventy = {"large_model_reference": "llama-3.3-70b-instruct"}
    assert not [*check_prediction_room(planned(spec, **seventy))]
