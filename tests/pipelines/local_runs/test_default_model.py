"""Who names no model is told what the default costs, unless the machine can do it."""

from __future__ import annotations

import pytest

from kfp_llm_tuning.components.common import processors
from kfp_llm_tuning.components.common.host_memory import HostMemory
from kfp_llm_tuning.pipelines.local_runs import default_model
from kfp_llm_tuning.pipelines.local_runs.default_model import unnamed_model_problem
from kfp_llm_tuning.pipelines.requests.request import CHAT_TEMPLATE, DEFAULT_TEMPLATE, Request


def on_machine(
    monkeypatch: pytest.MonkeyPatch, *, gigabytes: int, processor_count: int, gpu: bool = False
) -> None:
    memory = HostMemory(gigabytes * 10**9, gigabytes * 10**9)
    monkeypatch.setattr(default_model, "host_memory", lambda: memory)
    monkeypatch.setattr(processors, "available", lambda: processor_count)
    monkeypatch.setattr(default_model, "_has_gpu", lambda: gpu)


@pytest.mark.parametrize(
    ("template", "name"), [(DEFAULT_TEMPLATE, "text-bison@001"), (CHAT_TEMPLATE, "chat-bison@001")]
)
def test_a_laptop_is_told_the_cost_and_what_to_name(
    template: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_machine(monkeypatch, gigabytes=16, processor_count=4)
    problem = unnamed_model_problem(Request(template, {}))
    assert problem is not None
    assert problem.where == "large_model_reference"
    for part in (
        name,
        "7.6 billion parameters",
        "15 GB to download",
        "23 GB of memory where there",
    ):
        assert part in problem.what
    assert "42 h for 480,000 tokens on 4 processors" in problem.what
    assert "byte-tiny to try the pipeline, smollm2-135m-instruct" in problem.allowed
    assert f"{name} to insist" in problem.fix


@pytest.mark.parametrize("machine", [{"processor_count": 128}, {"processor_count": 4, "gpu": True}])
def test_a_machine_that_can_do_it_goes_on(
    machine: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_machine(monkeypatch, gigabytes=64, **machine)
    assert unnamed_model_problem(Request(DEFAULT_TEMPLATE, {})) is None


def test_a_named_model_and_a_published_body_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    on_machine(monkeypatch, gigabytes=1, processor_count=1)
    named = {"large_model_reference": "text-bison@001"}
    assert unnamed_model_problem(Request(DEFAULT_TEMPLATE, named)) is None
    assert unnamed_model_problem(Request(DEFAULT_TEMPLATE, {}, published=True)) is None
