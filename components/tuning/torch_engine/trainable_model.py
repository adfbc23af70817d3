"""The model as it is trained: its checkpoint's weights in a fitting precision, and adapters."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.manifest import is_loaded, verify
from kfp_llm_tuning.components.models.causal_model import load_causal_model, load_config
from kfp_llm_tuning.components.models.four_bit_model import load_4bit_model
from kfp_llm_tuning.components.models.sharded_model import (
    call_through_shards,
    load_sharded_model,
    make_equal,
)
from kfp_llm_tuning.components.tuning import processes
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.initial_adapters import initial_matrix
from kfp_llm_tuning.components.tuning.torch_engine.trained_weights import has_adapters


@dataclass(frozen=True)
class TrainableModel:
    """The model to train, and what must be known of its checkpoint.

    Attributes:
        model: A causal language model; a PEFT model where adapters are tuned.
        dtype: The type of the checkpoint's weights, which the tuned model keeps.
        bf16: Whether to compute in bfloat16.
        folder: The checkpoint, where no process may have its weights whole.
        sharded: Whether the run's processes share the weights.
        quantised: Whether the frozen weights are in 4 bits.
    """

    model: Any
    dtype: torch.dtype
    bf16: bool
    folder: Path = Path()
    sharded: bool = False
    quantised: bool = False

    @property
    def is_placed(self) -> bool:
        """Whether the weights are where they are trained, and cannot be moved."""
        return self.sharded or self.quantised

    @property
    def is_merged_from_files(self) -> bool:
        """Whether adapters are merged into the checkpoint's files: no process has its weights."""
        return self.is_placed and has_adapters(self.model)


def load_trainable(
    folder: Path, arguments: TuningArguments, *, bf16: bool, sharded: bool = False
) -> TrainableModel:
    """Loads a checkpoint for training.

    Args:
        folder: The checkpoint in Hugging Face layout.
        arguments: Whether adapters or all weights are trained, and which.
        bf16: Whether to compute in bfloat16.
        sharded: Whether the run's processes share the weights; all of them must call this.

    Returns:
        The model, on the CPU; one that is sharded or in 4 bits on its device.

    Raises:
        UserError: If adapters are asked for at modules that the model does not have, or the
            checkpoint is not as its writer left it.
    """
    verify(folder, "large_model_reference", among=is_loaded)
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    own = load_config(folder).dtype or torch.float32
    # Trained weights need float32 to take up small updates; frozen ones may stay short.
    short = arguments.tuning == "adapter" and bf16 and own != torch.float32
    dtype = torch.bfloat16 if short else torch.float32
    if sharded:
        processes.join()
        model = load_sharded_model(folder, dtype, processes.count(), bf16=bf16)
    elif arguments.load_in_4bit:
        model = load_4bit_model(folder, dtype, processes.device(), bf16=bf16)
    else:
        model = load_causal_model(folder, dtype)
    _freeze_where_no_text_passes(model)
    if arguments.tuning == "adapter":
        model = with_adapter(model, arguments)
        if sharded:
            call_through_shards(model)
            make_equal(model)
    return TrainableModel(model, own, bf16, folder, sharded, arguments.load_in_4bit)


def _freeze_where_no_text_passes(model: Any) -> None:
    """Keeps the parts for pictures and sounds as they are, whatever is tuned."""
    text = {id(parameter) for part in _text_parts(model) for parameter in part.parameters()}
    for parameter in model.parameters():
        if id(parameter) not in text:
            parameter.requires_grad_(False)


def _text_parts(model: Any) -> list[torch.nn.Module]:
    parts = (model.get_decoder(), model.get_input_embeddings(), model.get_output_embeddings())
    return [part for part in parts if part is not None]


def _modules_without_text(model: Any) -> list[str]:
    """Names the modules that hold weights and that no text passes through."""
    text = {id(module) for part in _text_parts(model) for module in part.modules()}
    return [
        name
        for name, module in model.named_modules()
        if id(module) not in text and next(module.parameters(recurse=False), None) is not None
    ]


def with_adapter(model: Any, arguments: TuningArguments) -> Any:
    """Adds LoRA adapters, which alone are trained.

    Args:
        model: A causal language model.
        arguments: Their size and places.

    Returns:
        A PEFT model.

    Raises:
        UserError: If there are no such places in the model.
    """
    from peft import LoraConfig, get_peft_model

    names = arguments.lora_target_modules
    targets = names if names == "all-linear" else [name.strip() for name in names.split(",")]
    config = LoraConfig(
        r=arguments.lora_rank,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=targets,
        exclude_modules=_modules_without_text(model) or None,
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():  # peft still uses transformers' former names.
            warnings.simplefilter("ignore", FutureWarning)
            adapted = get_peft_model(model, config)
    except ValueError as error:
        raise UserError(
            Problem(str(error), "lora_target_modules", "all-linear, or names of linear modules")
        ) from error
    _initialise(adapted, arguments.seed)
    return adapted


def _initialise(model: Any, seed: int) -> None:
    """Draws the adapters' first values by the seed and their places: PEFT's depend on the order."""
    for name, module in model.get_base_model().named_modules():
        for adapter in getattr(module, "lora_A", {}).values():
            rank, inputs = adapter.weight.shape
            first = torch.from_numpy(initial_matrix(seed, name, rank, inputs))
            adapter.weight.data.copy_(first)
