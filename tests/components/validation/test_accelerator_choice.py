"""Which accelerator tunes, and what is said of one that nothing tunes on."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.models import implemented
from kfp_llm_tuning.components.models.implemented import Implementation
from tests.components.validation.pipeline_requests import (
    KUBEFLOW,
    LOCAL,
    VERTEX,
    Mistake,
    assert_told,
    check,
)

MISTAKES = {
    "unknown accelerator": Mistake(
        VERTEX,
        {"accelerator_type": "NPU"},
        "'NPU' is unknown",
        "Allowed: GPU",
    ),
    "unknown accelerator locally": Mistake(
        LOCAL,
        {"accelerator_type": "x"},
        "'x' is unknown",
        "Allowed: GPU",
    ),
    "TPU": Mistake(
        VERTEX,
        {"accelerator_type": "tpu"},
        "accelerator_type: no engine of this version tunes on TPU.",
        "Allowed: GPU. Give accelerator_type=GPU: then tuning runs in us-central1.",
    ),
    "TPU by the region": Mistake(
        VERTEX,
        {"pipeline_region": "europe-west4"},
        "is empty, which means TPU in europe-west4, and no engine of this version tunes on TPU.",
        "Give accelerator_type=GPU: then tuning runs in us-central1.",
    ),
    "TPU locally": Mistake(
        LOCAL,
        {"accelerator_type": "TPU"},
        "accelerator_type: no engine of this version tunes on TPU.",
        "Give accelerator_type=GPU.",
    ),
    "TPU by the machine": Mistake(
        VERTEX,
        {"pipeline_region": "us-west1", "tuning_machine": "tpu-v6e-4"},
        "tuning_machine: tpu-v6e-4 is a TPU machine, and no engine of this version tunes on TPU.",
        "Allowed: a100-80gb-8",
    ),
    "no accelerator for the region": Mistake(
        VERTEX,
        {"pipeline_region": "us-west1"},
        "accelerator_type: is empty, and the region 'us-west1' has no default",
        "Allowed: GPU (the default in us-central1)",
    ),
    "unknown machine": Mistake(
        VERTEX,
        {"tuning_machine": "h10-8"},
        "no machine is called 'h10-8'",
        "h100-8?",
    ),
    "unknown machine in a compiled pipeline": Mistake(
        KUBEFLOW,
        {"tuning_machine": "h10-8"},
        "no machine is called 'h10-8'",
        "h100-8?",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_each_mistake_has_its_message(kind: str) -> None:
    assert_told(MISTAKES[kind])


@pytest.mark.parametrize(
    ("region", "given"),
    [("us-central1", ""), ("asia-northeast3", "gpu"), ("europe-west4", "Gpu")],
)
def test_tuning_runs_where_the_accelerator_is(region: str, given: str) -> None:
    settings = check(VERTEX, pipeline_region=region, accelerator_type=given)
    assert (settings.use_tpu, settings.adapter_training_location) == (False, "us-central1")
    assert settings.model_location == region


def test_a_machine_decides_the_accelerator() -> None:
    settings = check(VERTEX, pipeline_region="us-west1", tuning_machine="l4-1")
    assert settings.machine is not None
    assert settings.machine.machine_type == "g2-standard-12"


def test_the_table_decides_on_methods_too(monkeypatch: pytest.MonkeyPatch) -> None:
    only = Implementation("tune", "e", {"GPU": "gpu"}, ("vertex",), ("*",), ("adapter",))
    monkeypatch.setattr(implemented, "_rows", lambda: [only])
    assert check(VERTEX, tuning_method="adapter")
    with pytest.raises(UserError, match="tuning_method: no engine of this version tunes by the"):
        check(VERTEX, tuning_method="full")


@pytest.fixture
def on_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table in which TPUs tune models of one family, and not beside weights in 4 bits."""
    rows = [
        Implementation(
            "tune", "gpu", {"GPU": "gpu"}, ("vertex",), ("*",), ("adapter", "full", "4bit")
        ),
        Implementation("tune", "tpu", {"TPU": "tpu"}, ("vertex",), ("qwen3",), ("adapter", "full")),
    ]
    monkeypatch.setattr(implemented, "_rows", lambda: rows)


@pytest.mark.usefixtures("on_tpu")
def test_a_model_that_tpus_do_not_take_is_told_with_those_that_they_do() -> None:
    with pytest.raises(UserError) as caught:
        check(VERTEX, accelerator_type="TPU", large_model_reference="byte-tiny")
    assert (
        "large_model_reference: no engine of this version tunes models of the type llama on TPU. "
        "Allowed: on TPU qwen3. Choose such a model, or give accelerator_type=GPU."
    ) in str(caught.value)


@pytest.mark.usefixtures("on_tpu")
def test_weights_in_4_bits_are_told_with_what_works() -> None:
    asked = {"large_model_reference": "hf://Qwen/Qwen3-0.6B", "tuning_method": "adapter"}
    arguments = {"load_in_4bit": True}
    with pytest.raises(UserError) as caught:
        check(VERTEX, accelerator_type="TPU", tuner_arguments=arguments, **asked)
    assert (
        "tuner_arguments.load_in_4bit: no engine of this version tunes by the method 4bit on TPU "
        "on the platform vertex. Allowed: false. Leave it out, or give accelerator_type=GPU."
    ) in str(caught.value)
    assert check(VERTEX, accelerator_type="TPU", **asked).use_tpu
    assert not check(VERTEX, tuner_arguments=arguments, **asked).use_tpu
