"""Models of any size without their weights: torch's fake tensors have shapes and types alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from model_shapes import make_config
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM

from kfp_llm_tuning.components.models import label_head
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.torch_engine import memory, trainable_model


@contextmanager
def fake_model(shape: str, layers: int, tuning: str) -> Iterator[Any]:
    """Makes a model as the tuner loads it on a GPU, for use under fake tensors.

    Args:
        shape: A name of ``SHAPES``.
        layers: How many it has, instead of the shape's own.
        tuning: "adapter" or "full".

    Yields:
        The model, in training mode; while it is in use, all new tensors are fake too.
    """
    config = make_config(shape, num_hidden_layers=layers)
    with torch.device("meta"):
        dtype = torch.bfloat16 if tuning == "adapter" else torch.float32
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
        if tuning == "adapter":
            model = trainable_model.with_adapter(model, TuningArguments("m", tuning=tuning))
    with FakeTensorMode(allow_non_fake_inputs=True), _chunks_of_a_gpu():
        _give_fake_tensors(model)
        yield model.train()


@contextmanager
def _chunks_of_a_gpu() -> Iterator[None]:
    """Fake tensors stand on the CPU, as those on CUDA need a driver; logits are cut as on a GPU."""
    size = label_head.chunk_values(torch.device("cuda"))
    with ExitStack() as stack:
        for module in (label_head, memory):
            stack.enter_context(patch.object(module, "chunk_values", lambda _: size))
        yield


def _give_fake_tensors(model: torch.nn.Module) -> None:
    """Replaces every tensor by a fake one; what modules share they go on sharing."""
    made: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    held[name] = made.setdefault(id(tensor), _fake(tensor))


def _fake(tensor: torch.Tensor) -> torch.Tensor:
    fake = torch.empty(tensor.shape, dtype=tensor.dtype)
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(fake, requires_grad=tensor.requires_grad)
    return fake
