"""Models of the JAX engine beside those of transformers and PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

jax = pytest.importorskip("jax")

from kfp_llm_tuning.components.common.errors import UserError  # noqa: E402
from kfp_llm_tuning.components.tuning.arguments import TuningArguments  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine.families import FAMILIES  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine.layers import FSDP, TENSOR  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine.loading import read_like  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine.mesh import make_mesh  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine.model import JaxModel, load_model  # noqa: E402
from kfp_llm_tuning.components.tuning.torch_engine.trainable_model import (  # noqa: E402
    with_adapter,
)
from tests.components.small_models import small_model  # noqa: E402

pytestmark = pytest.mark.tpu

VOCABULARY, ROWS, LENGTH = 64, 8, 40
TOKENS = np.random.default_rng(0).integers(1, VOCABULARY, (ROWS, LENGTH)).astype(np.int32)
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
LINEAR = {"rope_type": "linear", "rope_theta": 100.0, "factor": 4.0}
GEMMA_ROTATIONS = {"sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{family: (family, {}) for family in FAMILIES},
    "llama3": ("llama", {"rope_parameters": LLAMA3, "rms_norm_eps": 1e-3}),
    "llama linear": ("llama", {"rope_parameters": LINEAR}),
    "tied": ("llama", {"tie_word_embeddings": True}),
    "qwen2 theta": ("qwen2", {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}}),
    "qwen3 theta": ("qwen3", {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}}),
    "gemma pairs": ("gemma3_text", {"num_attention_heads": 4, "num_key_value_heads": 2}),
    "gemma all heads": ("gemma3_text", {"num_key_value_heads": 2, "rms_norm_eps": 1e-3}),
    "gemma 27b": (
        "gemma3_text",
        {
            "query_pre_attn_scalar": 21,
            "final_logit_softcapping": 0.2,
            "rope_parameters": GEMMA_ROTATIONS | {"full_attention": LINEAR},
        },
    ),
}


def arguments(tuning: str = "full", **others: Any) -> TuningArguments:
    return TuningArguments(model_reference="model", tuning=tuning, batch_size=4, **others)


def saved(model: Any, folder: Path, **options: Any) -> Path:
    """A checkpoint whose weights are larger than first ones are, so that mistakes show."""
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            weight.data *= 8 if "embed" not in name else 4
        else:
            torch.nn.init.normal_(weight, 0.5, 0.5)
    model.save_pretrained(folder, **options)
    return folder


def changed(family: str, changes: dict[str, Any]) -> Any:
    from tests.components import small_models

    kept = {key: value for key, value in small_models.MODELS[family].items() if key not in changes}
    sizes = {key: value for key, value in small_models.SIZES.items() if key not in changes}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(small_models.MODELS, family, kept)
        patch.setattr(small_models, "SIZES", sizes)
        return small_model(family, VOCABULARY, **changes).eval()


def torch_logits(model: Any) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = model(torch.tensor(TOKENS)).logits.float().numpy()
    return logits


def jax_logits(model: JaxModel) -> NDArray[np.float32]:
    def compute(trained: Any, frozen: Any, tokens: Any) -> Any:
        hidden = model.hidden(trained, frozen, tokens)
        return model.logits(trained, frozen, hidden.reshape(-1, hidden.shape[-1]))

    logits = jax.jit(compute)(model.trained, model.frozen, TOKENS)
    return np.asarray(logits).reshape(ROWS, LENGTH, VOCABULARY)


def assert_alike(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(), 1))


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_transformers(variant: str, tmp_path: Path) -> None:
    model = changed(*VARIANTS[variant])
    folder = saved(model, tmp_path)
    loaded = load_model(folder, arguments(), bf16=False, devices=jax.devices()[:1])
    assert_alike(jax_logits(loaded), torch_logits(model))
    assert loaded.frozen == {}
    assert loaded.dtype == "float32"
    assert loaded.trained.keys() == dict(model.named_parameters()).keys()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("targets", ["all-linear", "q_proj, mlp.down_proj"])
def test_adapters_are_those_of_peft(family: str, targets: str, tmp_path: Path) -> None:
    model = small_model(family, VOCABULARY).eval()
    folder = saved(model, tmp_path / "base")
    asked = arguments("adapter", lora_rank=4, lora_alpha=12, lora_target_modules=targets)
    loaded = load_model(folder, asked, bf16=False, devices=jax.devices()[:1])
    plain = torch_logits(model)
    assert_alike(jax_logits(loaded), plain)
    tuned = with_adapter(model, asked)
    first = {
        name.replace(".default", ""): weight.detach().numpy()
        for name, weight in tuned.named_parameters()
        if weight.requires_grad
    }
    assert loaded.trained.keys() == first.keys()
    assert all(np.array_equal(loaded.trained[name], first[name]) for name in first)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    tuned.save_pretrained(tmp_path / "adapter")
    trained = read_like(tmp_path / "adapter", loaded.trained)
    expected = torch_logits(tuned)
    assert np.abs(expected - plain).max() > 0.1
    moved = JaxModel(
        loaded.mesh, trained, loaded.frozen, loaded.hidden, loaded.logits, loaded.dtype
    )
    assert_alike(jax_logits(moved), expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tuning", ["full", "adapter"])
def test_devices_change_nothing(family: str, tuning: str, tmp_path: Path) -> None:
    model = small_model(family, VOCABULARY).eval()
    folder = saved(model, tmp_path, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    loaded = load_model(folder, arguments(tuning), bf16=False)
    assert dict(loaded.mesh.shape) == {FSDP: 4, TENSOR: 2}
    name = "model.layers.0.mlp.down_proj.weight"
    weight = (loaded.trained | loaded.frozen)[name]
    assert weight.sharding.shard_shape(weight.shape) == (8, 24)
    assert_alike(jax_logits(loaded), torch_logits(model))


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_near(family: str, tmp_path: Path) -> None:
    model = small_model(family, VOCABULARY).eval()
    folder = saved(model.to(torch.bfloat16), tmp_path)
    loaded = load_model(folder, arguments("adapter"), bf16=True)
    assert loaded.dtype == "bfloat16"
    assert {str(one.dtype) for one in loaded.frozen.values()} == {"bfloat16"}
    assert {str(one.dtype) for one in loaded.trained.values()} == {"float32"}
    expected = torch_logits(model.float())
    difference = np.abs(jax_logits(loaded) - expected)
    assert difference.mean() < 0.02 * np.abs(expected).mean() + 0.02


def test_a_mesh_leaves_no_device_without_rows() -> None:
    devices = jax.devices()
    assert dict(make_mesh(devices, 24, 8).shape) == {FSDP: 8, TENSOR: 1}
    assert dict(make_mesh(devices, 2, 8).shape) == {FSDP: 2, TENSOR: 4}
    # Three heads are not spread over two devices.
    assert dict(make_mesh(devices, 2, 3).shape) == {FSDP: 8, TENSOR: 1}


def refusal(folder: Path, **others: Any) -> str:
    with pytest.raises(UserError) as refused:
        load_model(folder, arguments(**others), bf16=False)
    return str(refused.value)


def test_what_is_not_served_is_refused(tmp_path: Path) -> None:
    folder = saved(small_model("gpt_neox"), tmp_path / "other")
    assert "qwen2, qwen3, llama, gemma3_text" in refusal(folder)
    rotation = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 2.0}
    model = changed("llama", {"rope_parameters": rotation, "attention_bias": True})
    folder = saved(model, tmp_path / "changed")
    text = refusal(folder)
    assert "rotary scaling yarn" in text
    assert "attention_bias" in text
    folder = saved(small_model("llama"), tmp_path / "llama")
    assert "lm_head" in refusal(folder, tuning="adapter", lora_target_modules="lm_head")
    text = refusal(folder, tuning="adapter", lora_dropout=0.1, load_in_4bit=True)
    assert "lora_dropout" in text
    assert "load_in_4bit" in text


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = saved(small_model("llama", VOCABULARY), tmp_path / "llama")
    loaded = load_model(folder, arguments(), bf16=False)
    other = saved(small_model("llama", VOCABULARY + 8), tmp_path / "other")
    with pytest.raises(UserError, match=r"lacks lm_head\.weight, model\.embed_tokens\.weight"):
        read_like(other, dict(sorted(loaded.trained.items())))
