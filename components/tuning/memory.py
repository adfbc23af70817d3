"""How many examples fit in memory at once: an estimate to begin with."""

from __future__ import annotations

from typing import Any

import psutil
import torch

# Leaves room for the allocator's fragments and for what the estimate does not know.
_USABLE_SHARE = 0.8


def available_bytes(device: torch.device) -> int:
    """Measures the memory still free on a device.

    Args:
        device: CPU or CUDA.

    Returns:
        Bytes.
    """
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        return int(free)
    return int(psutil.virtual_memory().available)


def peak_bytes(device: torch.device) -> int:
    """Measures the most memory this process has used: resident on CPU, allocated on CUDA.

    Args:
        device: CPU or CUDA.

    Returns:
        Bytes.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux


def training_bytes(model: torch.nn.Module) -> int:
    """Bytes that training adds to the weights: gradients and AdamW's two moments.

    Args:
        model: The model, with what is frozen already frozen.

    Returns:
        Bytes, of trainable parameters only.
    """
    return sum(3 * p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)


def example_bytes(
    config: Any, length: int, *, bytes_per_value: int, checkpointing: bool = False
) -> int:
    """Estimates the memory of one example's forward pass.

    A layer keeps about 16 vectors of the hidden size and 4 of the feed-forward size a token for
    its backward pass (Korthikanti et al. 2022, "Reducing Activation Recomputation in Large
    Transformer Models", section 4, with attention recomputed as in scaled_dot_product_attention);
    the loss keeps the logits and their gradient in float32. Labels are taken to be the whole
    length, the worst case.

    Args:
        config: The model's text configuration.
        length: Tokens of the longest example.
        bytes_per_value: 2 for bf16, 4 for fp32.
        checkpointing: Whether layers are recomputed in the backward pass.

    Returns:
        Bytes.
    """
    hidden = config.hidden_size
    feed_forward = getattr(config, "intermediate_size", None) or 4 * hidden
    layer = (16 * hidden + 4 * feed_forward) * bytes_per_value
    layers = config.num_hidden_layers
    kept = layers * hidden * bytes_per_value + layer if checkpointing else layers * layer
    logits = config.vocab_size * (bytes_per_value + 8)
    return int(length * (kept + logits))


def fitting_examples(
    model: torch.nn.Module,
    device: torch.device,
    *,
    length: int,
    most: int,
    bytes_per_value: int,
    checkpointing: bool = False,
) -> int:
    """Estimates how many examples of a length fit beside the model.

    Args:
        model: The model, on its device.
        device: CPU or CUDA.
        length: Tokens of the longest example.
        most: Examples that are wanted.
        bytes_per_value: 2 for bf16, 4 for fp32.
        checkpointing: Whether layers are recomputed in the backward pass.

    Returns:
        From 0 to ``most``; 0 means that not even one fits.
    """
    config = model.config.get_text_config()
    room = _USABLE_SHARE * available_bytes(device) - training_bytes(model)
    one = example_bytes(
        config, length, bytes_per_value=bytes_per_value, checkpointing=checkpointing
    )
    return int(min(max(room // one, 0), most))
