"""A model whose frozen weights are kept in 4 bits: QLoRA, by bitsandbytes.

NormalFloat with scales that are quantised themselves, as Dettmers et al. 2023 ("QLoRA: Efficient
Finetuning of Quantized LLMs", section 3): about 4.1 bits a weight. bitsandbytes and not torchao:
its wheels compute on CPUs, too, and PEFT puts adapters on its layers.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.models.causal_model import load_causal_model


def load_4bit_model(folder: Path, dtype: torch.dtype, device: torch.device, *, bf16: bool) -> Any:
    """Loads a model with its linear layers in 4 bits; the output layer and norms stay as they are.

    Args:
        folder: A folder that `check_whole` has passed.
        dtype: Type of the weights that are not quantised.
        device: Where the model is to be.
        bf16: Whether products are computed in bfloat16.

    Returns:
        A transformers model, on its device.

    Raises:
        UserError: If bitsandbytes is not installed, and as `load_causal_model`.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            Problem(
                "bitsandbytes is not installed, which holds weights in 4 bits.",
                "load_in_4bit",
                fix="pip install 'kfp-llm-tuning[4bit]'",
            )
        )
    from transformers import BitsAndBytesConfig

    quantisation = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if bf16 else torch.float32,
    )
    model = load_causal_model(
        folder, dtype, quantization_config=quantisation, device_map={"": device}
    )
    for module in model.modules():
        # Else evaluations on a processor would lay its weights out anew, for another product than
        # that of training, and only where rows are multiples of a block.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
