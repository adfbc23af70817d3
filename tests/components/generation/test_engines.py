from __future__ import annotations

import importlib.util

import pytest
import torch

from kfp_llm_tuning.components.common.errors import UserError
from kfp_llm_tuning.components.generation import engines
from kfp_llm_tuning.components.generation.transformers_engine import TransformersEngine
from kfp_llm_tuning.components.generation.vllm_engine import VllmEngine
from tests.components.generation import fake_vllm


@pytest.fixture
def machine(monkeypatch):
    """Sets what is installed and built in."""

    def set_up(*, vllm, gpu):
        fake_vllm.install(monkeypatch)
        find = importlib.util.find_spec
        monkeypatch.setattr(
            engines.importlib.util,
            "find_spec",
            lambda name, *rest: vllm or None if name == "vllm" else find(name, *rest),
        )
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)

    return set_up


@pytest.mark.parametrize(
    ("vllm", "gpu", "name", "expected"),
    [
        (True, True, "auto", VllmEngine),
        (True, True, "vllm", VllmEngine),
        (True, False, "vllm", VllmEngine),
        (True, False, "auto", TransformersEngine),
        (True, False, "transformers", TransformersEngine),
        (False, False, "auto", TransformersEngine),
    ],
)
def test_the_engine_that_fits_the_machine(machine, model_folder, vllm, gpu, name, expected):
    machine(vllm=vllm, gpu=gpu)
    engine = engines.open_engine(model_folder, name)
    engine.close()
    assert type(engine) is expected


def test_vllm_that_is_not_there_is_a_mistake(machine, model_folder):
    machine(vllm=False, gpu=True)
    with pytest.raises(UserError, match="vLLM is not installed.*auto, transformers"):
        engines.open_engine(model_folder, "vllm")


def test_engines_have_names(model_folder):
    with pytest.raises(UserError, match="'fast' is no engine.*auto, transformers, vllm"):
        engines.open_engine(model_folder, "fast")
