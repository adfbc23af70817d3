"""The families of models that this engine serves: Tunix's decoders, mended by our layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from tunix.models.gemma3 import model as gemma3
from tunix.models.llama3 import model as llama3
from tunix.models.qwen2 import model as qwen2
from tunix.models.qwen3 import model as qwen3

from kfp_llm_tuning.components.common.errors import Problem, UserError, raise_all
from kfp_llm_tuning.components.models.causal_model import load_config
from kfp_llm_tuning.components.tuning.jax_engine.adapters import adapter_of
from kfp_llm_tuning.components.tuning.jax_engine.layers import (
    Adapter,
    Embedding,
    GemmaNorm,
    Headless,
    Linear,
    Projections,
    Rotary,
)
from kfp_llm_tuning.components.tuning.jax_engine.mesh import GATHERING

# Of model_type in config.json.
GEMMA = "gemma3_text"
FAMILIES = ("qwen2", "qwen3", "llama", GEMMA)
_SLIDING = "sliding_attention"
# How many parts of a parameter's path in Tunix's modules are named in a checkpoint.
_NAMES = {
    "embedder": "model.embed_tokens",
    "layers": "model.layers",
    "final_norm": "model.norm",
    "attn": "self_attn",
    "w": "weight",
    "q_bias": "q_proj.bias",
    "k_bias": "k_proj.bias",
    "v_bias": "v_proj.bias",
    "q_einsum": "q_proj",
    "attn_vec_einsum": "o_proj",
    "qkv_einsum": "",
    "kv_einsum": "",
    "_query_norm": "q_norm",
    "_key_norm": "k_norm",
    "pre_attention_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "pre_ffw_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def check_family(folder: Path) -> Any:
    """Checks that this engine computes a checkpoint as transformers does.

    Args:
        folder: The checkpoint, which was found to be whole.

    Returns:
        Its configuration.

    Raises:
        UserError: With all that it does not serve.
    """
    config = load_config(folder)
    place = "large_model_reference"
    if config.model_type not in FAMILIES:
        what = f"the engine for TPU has no {config.model_type}."
        fix = "Choose another model, or an accelerator other than TPU."
        raise UserError(Problem(what, place, ", ".join(FAMILIES), fix))
    raise_all(
        [
            Problem(f"the engine for TPU does not serve {what}.", place, fix="Tune it on a GPU.")
            for what in _unserved(config)
        ]
    )
    return config


def _unserved(config: Any) -> list[str]:
    gemma = config.model_type == GEMMA
    found = []
    kinds = (
        ("default", "linear", "llama3") if config.model_type in ("llama", "qwen3") else ("default",)
    )
    for parameters in _rotations(config):
        kind = parameters["rope_type"]
        if kind not in (*kinds, *(["linear"] if gemma else [])):
            found.append(f"rotary scaling {kind} in {config.model_type}")
        if parameters.get("partial_rotary_factor", 1) != 1:
            found.append("partial rotary positions")
    activation = config.hidden_activation if gemma else config.hidden_act
    if activation != ("gelu_pytorch_tanh" if gemma else "silu"):
        found.append(f"the activation {activation}")
    if not gemma and _SLIDING in (getattr(config, "layer_types", None) or ()):
        found.append(f"windows in {config.model_type}")
    if getattr(config, "attention_bias", False) or getattr(config, "mlp_bias", False):
        found.append("attention_bias and mlp_bias")
    if getattr(config, "attn_logit_softcapping", None):
        found.append("attn_logit_softcapping")
    if getattr(config, "use_bidirectional_attention", False):
        found.append("attention in both directions")
    return found


def _rotations(config: Any) -> list[Mapping[str, Any]]:
    parameters = config.rope_parameters
    return [parameters] if "rope_type" in parameters else list(parameters.values())


def head_size(config: Any) -> int:
    """Gives the features of an attention head."""
    size: int | None = getattr(config, "head_dim", None)
    return size or int(config.hidden_size // config.num_attention_heads)


def rotary(config: Any) -> Rotary:
    """Reads how positions are turned; not of Gemma, whose layers differ."""
    parameters = config.rope_parameters
    kept = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    scaling = tuple((key, parameters[key]) for key in kept if key in parameters)
    is_scaled = parameters["rope_type"] != "default"
    return Rotary(parameters["rope_theta"], scaling if is_scaled else ())


def tensor_name(path: tuple[Any, ...]) -> str:
    """Names a parameter of the decoder as its checkpoint does, or PEFT an adapter's."""
    parts = [_NAMES.get(str(part), str(part)) for part in path]
    name = ".".join(part for part in parts if part)
    return f"base_model.model.{name}.weight" if parts[-1].startswith("lora_") else name


def decoder(config: Any, mesh: Mesh, dtype: Any, adapter: Adapter | None) -> Any:
    """Builds a model without values and without its head.

    Args:
        config: Of :func:`check_family`.
        mesh: Where it is computed.
        dtype: In which type.
        adapter: Of LoRA; None for none.

    Returns:
        A module of flax whose parameters are shapes; every activation is rematerialised.
    """
    build = _gemma if config.model_type == GEMMA else _llama_like
    return nnx.eval_shape(lambda: build(config, mesh, dtype, adapter))


def _llama_like(config: Any, mesh: Mesh, dtype: Any, adapter: Adapter | None) -> Any:
    library, kind = {
        "llama": (llama3, llama3.Llama3),
        "qwen2": (qwen2, qwen2.Qwen2),
        "qwen3": (qwen3, qwen3.Qwen3),
    }[config.model_type]
    types = {} if library is llama3 else {"dtype": dtype}
    sizes = library.ModelConfig(
        num_layers=config.num_hidden_layers,
        vocab_size=1,
        embed_dim=config.hidden_size,
        hidden_dim=config.intermediate_size,
        num_heads=config.num_attention_heads,
        head_dim=head_size(config),
        num_kv_heads=config.num_key_value_heads,
        rope_theta=config.rope_parameters["rope_theta"],
        norm_eps=config.rms_norm_eps,
        remat_config=library.RematConfig.DECODER,
        **types,
    )
    model = kind(sizes, rngs=nnx.Rngs(0))
    model.embedder = Embedding(config.vocab_size, config.hidden_size, 1, dtype, mesh)
    model.lm_head = Headless()
    for number, layer in enumerate(model.layers):
        linear = _linears(config, mesh, number, adapter)
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(layer.attn, name, linear(name, getattr(layer.attn, name).shape))
        _replace_feed_forward(layer.mlp, linear)
    return model


def _gemma(config: Any, mesh: Mesh, dtype: Any, adapter: Adapter | None) -> Any:
    size, heads, pairs = head_size(config), config.num_attention_heads, config.num_key_value_heads
    sizes = gemma3.ModelConfig(
        num_layers=config.num_hidden_layers,
        num_embed=1,
        embed_dim=config.hidden_size,
        hidden_dim=config.intermediate_size,
        num_heads=heads,
        head_dim=size,
        num_kv_heads=pairs,
        sliding_window_size=config.sliding_window,
        remat_config=gemma3.RematConfig.DECODER,
        param_dtype=jnp.float32,
    )
    model = gemma3.Gemma3(sizes, rngs=nnx.Rngs(0))
    width, epsilon = config.hidden_size, config.rms_norm_eps
    model.embedder = Embedding(config.vocab_size, width, width**0.5, dtype, mesh)
    model.final_norm = GemmaNorm(width, epsilon)
    # Tunix scales queries by the head's size, whatever the configuration says.
    gain = (size / config.query_pre_attn_scalar) ** 0.5
    for number, layer in enumerate(model.layers):
        linear = _linears(config, mesh, number, adapter)
        attention = layer.attn
        # Tunix has the pattern of Gemma's own sizes: five with a window, one without.
        slides = config.layer_types[number] == _SLIDING
        parameters = config.rope_parameters[config.layer_types[number]]
        kinds = gemma3.AttentionType
        attention.attn_type = kinds.LOCAL_SLIDING if slides else kinds.GLOBAL
        attention.rope_base_frequency = parameters["rope_theta"]
        attention.rope_scale_factor = parameters.get("factor", 1.0)
        if heads == pairs:
            names = ("q_proj", "k_proj", "v_proj")
            shape = attention.qkv_einsum.shape
            attention.qkv_einsum = Projections(shape, **{name: linear(name) for name in names})
        else:
            attention.q_einsum = linear("q_proj", attention.q_einsum.shape)
            shape = attention.kv_einsum.shape
            together = {name: linear(name) for name in ("k_proj", "v_proj")}
            attention.kv_einsum = Projections(shape, **together)
        attention.attn_vec_einsum = linear("o_proj", attention.attn_vec_einsum.shape)
        # In float32, so that scores and softmax are, as in transformers.
        attention._query_norm = GemmaNorm(size, epsilon, gain, jnp.float32)
        attention._key_norm = GemmaNorm(size, epsilon)
        for name in ("pre_attention_norm", "post_attention_norm", "pre_ffw_norm", "post_ffw_norm"):
            setattr(layer, name, GemmaNorm(width, epsilon))
        _replace_feed_forward(layer.mlp, linear)
    return model


def _replace_feed_forward(feed_forward: Any, linear: Callable[..., Linear]) -> None:
    for name in ("gate_proj", "up_proj", "down_proj"):
        setattr(feed_forward, name, linear(name))


def _linears(
    config: Any, mesh: Mesh, number: int, adapter: Adapter | None
) -> Callable[..., Linear]:
    """Gives what makes the projections of a layer, by their names."""
    width, inner, size = config.hidden_size, config.intermediate_size, head_size(config)
    heads, pairs = config.num_attention_heads, config.num_key_value_heads
    sizes: dict[str, tuple[int, tuple[int, ...]]] = {
        "q_proj": (width, (heads, size)),
        "k_proj": (width, (pairs, size)),
        "v_proj": (width, (pairs, size)),
        "o_proj": (heads * size, (width,)),
        "gate_proj": (width, (inner,)),
        "up_proj": (width, (inner,)),
        "down_proj": (inner, (width,)),
    }

    def linear(name: str, told_shape: tuple[int, ...] = ()) -> Linear:
        inputs, split = sizes[name]
        outputs = split[0] * split[1] if len(split) == 2 else split[0]
        part = "self_attn" if name[0] in "qkvo" else "mlp"
        own = adapter_of(adapter, f"model.layers.{number}.{part}.{name}")
        gathers = name in GATHERING
        return Linear(
            inputs, outputs, split, mesh, gathers=gathers, adapter=own, told_shape=told_shape
        )

    return linear
