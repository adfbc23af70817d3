"""Attention of sequences that lie end to end in one row: each token sees its own document alone.

transformers looks its attention up by a name. Each kernel here is registered under one, for which
transformers builds no mask: the bounds of the documents say all, and no device is asked for them.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface


class Documents(NamedTuple):
    """What a kernel is told beside queries, keys and values.

    Attributes:
        bounds: Where each document begins, and the end of the last; int32, shape (documents + 1,).
        longest: Tokens of the longest document.
        window: How many tokens a token sees, itself among them; None for all before it.
        scale: Factor on the scores; None for the kernel's own.
        softcap: Bound that scores are pressed below by a tanh; None for none.
    """

    bounds: torch.Tensor
    longest: int
    window: int | None
    scale: float | None
    softcap: float | None


# Queries, keys and values are of shape (tokens, heads, size of a head), as is what it returns; keys
# and values may have fewer heads.
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Documents], torch.Tensor]


def _flash_attention(attend: Callable[..., Any]) -> Kernel:
    def kernel(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: Documents
    ) -> torch.Tensor:
        options = {} if documents.softcap is None else {"softcap": documents.softcap}
        found = attend(
            query,
            key,
            value,
            cu_seqlens_q=documents.bounds,
            cu_seqlens_k=documents.bounds,
            max_seqlen_q=documents.longest,
            max_seqlen_k=documents.longest,
            softmax_scale=documents.scale,
            causal=True,
            window_size=(-1, -1) if documents.window is None else (documents.window - 1, 0),
            **options,
        )
        # Some versions give the sums of the softmax as well.
        result: torch.Tensor = found[0] if isinstance(found, tuple) else found
        return result

    return kernel


def _flash_attention_of(package: str) -> Callable[[], Kernel]:
    """Names a package that an image may bring: no requirement of this one."""
    return lambda: _flash_attention(importlib.import_module(package).flash_attn_varlen_func)


def _torch_varlen() -> Kernel:
    from torch.nn.attention.varlen import varlen_attn

    def kernel(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: Documents
    ) -> torch.Tensor:
        if documents.softcap is not None:
            raise ValueError("it knows no soft-capping")
        bounds, longest, window, scale, _ = documents
        size = (-1, 0) if window is None else (window - 1, 0)
        found: torch.Tensor = varlen_attn(
            *(query, key, value, bounds, bounds, longest, longest),
            scale=scale,
            window_size=size,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return found

    return kernel


def _flex_attention() -> Kernel:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    compiled = functools.cache(torch.compile)

    @functools.lru_cache(maxsize=2)  # One for full layers and one for those with a window.
    def block_mask(bounds: torch.Tensor, tokens: int, window: int | None) -> Any:
        document = _document_of(bounds, tokens)

        def sees(_row: Any, _head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
            seen = (document[query] == document[key]) & (query >= key)
            return seen if window is None else seen & (query - key < window)

        make = compiled(create_block_mask) if bounds.is_cuda else create_block_mask
        return make(sees, None, None, tokens, tokens, device=bounds.device)

    def kernel(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: Documents
    ) -> torch.Tensor:
        bounds, _, window, scale, softcap = documents

        def capped(score: torch.Tensor, *_places: torch.Tensor) -> torch.Tensor:
            return score if softcap is None else softcap * torch.tanh(score / softcap)

        attend = compiled(flex_attention) if query.is_cuda else flex_attention
        found = attend(
            *(part.transpose(0, 1)[None] for part in (query, key, value)),
            score_mod=capped,
            block_mask=block_mask(bounds, len(query), window),
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        result: torch.Tensor = found[0].transpose(0, 1)
        return result

    return kernel


def _masked() -> Kernel:
    @functools.lru_cache(maxsize=2)
    def mask(bounds: torch.Tensor, tokens: int, window: int | None) -> torch.Tensor:
        document = _document_of(bounds, tokens)
        place = torch.arange(tokens, device=bounds.device)
        ahead = place[:, None] - place
        seen = (document[:, None] == document) & (ahead >= 0)
        return seen if window is None else seen & (ahead < window)

    def kernel(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: Documents
    ) -> torch.Tensor:
        if documents.softcap is not None:
            raise ValueError("it knows no soft-capping")
        found = torch.nn.functional.scaled_dot_product_attention(
            *(part.transpose(0, 1)[None] for part in (query, key, value)),
            attn_mask=mask(documents.bounds, len(query), documents.window),
            scale=documents.scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return found[0].transpose(0, 1)

    return kernel


def _document_of(bounds: torch.Tensor, tokens: int) -> torch.Tensor:
    """Numbers the document of every token; shape (tokens,)."""
    places = torch.arange(tokens, dtype=bounds.dtype, device=bounds.device)
    return torch.bucketize(places, bounds[1:], right=True)


# What makes each kernel, the fastest first; raises ImportError where it is not installed.
_CUDA: Mapping[str, Callable[[], Kernel]] = {
    "FlashAttention 3": _flash_attention_of("flash_attn_interface"),
    "FlashAttention 2": _flash_attention_of("flash_attn"),
    "torch's variable-length attention": _torch_varlen,
    "FlexAttention": _flex_attention,
}
# Memory and time of it grow with the square of the row: fit for tests.
_CPU = {"masked attention": _masked}


def kernels_of(device: torch.device) -> Mapping[str, Callable[[], Kernel]]:
    """Names the kernels for a device, the fastest first, with what makes each.

    Args:
        device: CPU or CUDA.

    Returns:
        Makers, which raise ImportError where a kernel is not installed.
    """
    return _CUDA if device.type == "cuda" else _CPU


def register(name: str, kernel: Kernel) -> str:
    """Makes a kernel known to transformers.

    Args:
        name: Its name in words.
        kernel: The kernel.

    Returns:
        What ``set_attn_implementation`` calls it.
    """
    implementation = "documents_" + "".join(filter(str.isalnum, name)).lower()
    AttentionInterface.register(implementation, functools.partial(_attend, kernel))
    return implementation


def _attend(
    kernel: Kernel,
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    **_others: Any,
) -> tuple[torch.Tensor, None]:
    """Attends in the interface of transformers: shapes (1, heads, tokens, size of a head)."""
    if cu_seq_lens_q is None:
        raise ValueError("the model does not tell its layers where documents begin")
    if dropout and module.training:
        raise ValueError("it knows no dropout")
    documents = Documents(cu_seq_lens_q, max_length_q, sliding_window, scaling, softcap)
    # Rotary positions leave queries and keys in float32 under autocast.
    device = query.device.type
    autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else value.dtype
    parts = [part[0].transpose(0, 1).to(dtype) for part in (query, key, value)]
    return kernel(parts[0], parts[1], parts[2], documents)[None], None
