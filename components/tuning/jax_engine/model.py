"""The model as this engine trains it: weights by their names in the checkpoint, two functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from tunix.models.llama3 import model as llama3
from tunix.models.qwen3 import model as qwen3

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.common.manifest import is_loaded, verify
from kfp_llm_tuning.components.common.wording import first_few
from kfp_llm_tuning.components.tuning.arguments import TuningArguments
from kfp_llm_tuning.components.tuning.jax_engine.adapters import (
    asked_adapter,
    check_adapter_arguments,
    first_values,
    is_adapter,
)
from kfp_llm_tuning.components.tuning.jax_engine.exported_weights import (
    write_merged,
    write_whole,
)
from kfp_llm_tuning.components.tuning.jax_engine.families import (
    check_family,
    decoder,
    rotary,
    tensor_name,
)
from kfp_llm_tuning.components.tuning.jax_engine.layers import Adapter
from kfp_llm_tuning.components.tuning.jax_engine.loading import (
    StoredTensor,
    place,
    stored_tensors,
)
from kfp_llm_tuning.components.tuning.jax_engine.mesh import make_mesh, placement

Weights = dict[str, jax.Array]
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True)
class JaxModel:
    """A model spread over devices.

    Attributes:
        mesh: Its axes are ``fsdp``, which rows of a batch are spread over, and ``tensor``.
        trained: Float32 values of what is trained, by names of the checkpoint's tensors, or of
            PEFT's where adapters are.
        frozen: The base model of a run that trains adapters; empty where all is trained.
        hidden: Maps (trained, frozen, tokens) to hidden states: tokens of shape (rows, length),
            int32, padded on the right; rows a multiple of ``fsdp``; outcome (rows, length, width)
            in the type of computing. Pure: it is to be traced.
        logits: Maps (trained, frozen, hidden states of shape (n, width)) to float32 logits
            (n, vocabulary), soft cap included. Pure.
        dtype: Type of the checkpoint's weights, which an exported model keeps: "bfloat16" ...
        adapter: What is trained; None where all is.
    """

    mesh: Mesh
    trained: Weights
    frozen: Weights
    hidden: Callable[[Weights, Weights, jax.Array], jax.Array]
    logits: Callable[[Weights, Weights, jax.Array], jax.Array]
    dtype: str
    adapter: Adapter | None = None


def load_model(
    folder: Path,
    arguments: TuningArguments,
    *,
    bf16: bool,
    devices: Sequence[jax.Device] | None = None,
) -> JaxModel:
    """Loads a checkpoint; every process of the run must call it, and reads its own parts alone.

    Args:
        folder: The checkpoint in Hugging Face layout.
        arguments: Whether adapters or all weights are trained, and which.
        bf16: Whether to compute in bfloat16.
        devices: Of all processes; None for all that JAX finds.

    Returns:
        The model.

    Raises:
        UserError: If this engine does not serve it, or not in the way that is asked for.
    """
    verify(folder, "large_model_reference", among=is_loaded)
    check_adapter_arguments(arguments)
    config = check_family(folder)
    mesh = make_mesh(devices or jax.devices(), arguments.batch_size, config.num_attention_heads)
    compute = jnp.bfloat16 if bf16 else jnp.float32
    adapter = asked_adapter(arguments)
    graph, state = nnx.split(decoder(config, mesh, compute, adapter))
    parameters = {tensor_name(path): (path, one) for path, one in nnx.to_flat_state(state)}
    head = _EMBEDDING if config.tie_word_embeddings else _HEAD
    stored = stored_tensors(folder)
    base = {name for name in parameters if not is_adapter(name)} | {head}
    _check_names(base, stored, folder)
    own = stored[_EMBEDDING].dtype.name
    # Trained weights need float32 to take up small updates; frozen ones may stay short.
    short = adapter and bf16 and own != "float32"
    loaded = {
        name: place(
            stored[name],
            placement(mesh, name, stored[name].shape),
            jnp.bfloat16 if short else jnp.float32,
        )
        for name in sorted(base)
    }
    added = {
        name: first_values(name, one.shape, mesh, arguments.seed)
        for name, (_, one) in sorted(parameters.items())
        if is_adapter(name)
    }
    cap = getattr(config, "final_logit_softcapping", None)

    def hidden(trained: Weights, frozen: Weights, tokens: jax.Array) -> jax.Array:
        weights = {**frozen, **trained}
        filled = nnx.from_flat_state(
            [
                (path, one.replace(_cast(weights[name], compute)))
                for name, (path, one) in parameters.items()
            ]
        )
        length = tokens.shape[1]
        positions = jnp.broadcast_to(jnp.arange(length), tokens.shape)
        seen = jnp.tril(jnp.ones((1, length, length), bool))
        with _exact(bf16), _turned(config):
            states, _ = nnx.merge(graph, filled)(tokens, positions, None, seen)
        return states.astype(compute)

    def logits(trained: Weights, frozen: Weights, states: jax.Array) -> jax.Array:
        weight = (trained if head in trained else frozen)[head]
        with _exact(bf16):
            found = jnp.matmul(states, weight.astype(compute).T, preferred_element_type=jnp.float32)
        return cap * jnp.tanh(found / cap) if cap else found

    trained, frozen = (added, loaded) if adapter else (loaded, {})
    return JaxModel(mesh, trained, frozen, hidden, logits, own, adapter)


def write_model(model: JaxModel, trained: Weights, base: Path, folder: Path | None) -> None:
    """Writes a model in Hugging Face layout: config.json, weights, adapters by themselves.

    Args:
        model: As it was loaded.
        trained: Its trained weights as they are now.
        base: The checkpoint that it was loaded from.
        folder: Where to; None in all processes but the first, which must call this too.

    Raises:
        UserError: If a weight with its adapter is not finite.
    """
    if model.adapter is None:
        write_whole(trained, model.mesh, base, folder, model.dtype)
    else:
        write_merged(trained, model.adapter, model.mesh, base, folder, model.dtype)


def _check_names(base: set[str], stored: dict[str, StoredTensor], folder: Path) -> None:
    missing = sorted(base - stored.keys())
    # A tied head may stand in the files too.
    unknown = sorted(stored.keys() - base - {_HEAD})
    if missing or unknown:
        parts = [f"lacks {first_few(missing)}"] if missing else []
        parts += (
            [f"holds {first_few(unknown)}, which the engine for TPU has not"] if unknown else []
        )
        fix = "Save it again with this version of transformers, or tune it on a GPU."
        raise UserError(Problem(f"{'; '.join(parts)}.", str(folder), fix=fix))


def _cast(weight: jax.Array, dtype: Any) -> jax.Array:
    """Casts matrices to the type of computing; norms multiply in float32."""
    return weight.astype(dtype if weight.ndim > 1 else jnp.float32)


def _exact(bf16: bool) -> Any:
    """Makes products of float32 be what they say: a TPU would round their factors to bfloat16."""
    return jax.default_matmul_precision("bfloat16" if bf16 else "float32")


@contextmanager
def _turned(config: Any) -> Iterator[None]:
    """Puts our rotary positions in the place of Tunix's for as long as a model is traced."""
    library = {"llama": llama3, "qwen3": qwen3}.get(config.model_type)
    if library is None:  # Tunix's Qwen2 and Gemma 3 heed the configuration.
        yield
        return
    theirs = library.apply_rope
    library.apply_rope = rotary(config).turn
    try:
        yield
    finally:
        library.apply_rope = theirs
