from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kfp_llm_tuning.components.common.errors import UserError  # noqa: E402
from kfp_llm_tuning.components.tuning.arguments import TuningArguments  # noqa: E402
from kfp_llm_tuning.components.tuning.initial_adapters import initial_matrix  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine import adapters  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine.mesh import make_mesh  # noqa: E402

pytestmark = pytest.mark.tpu

LAYER = "model.layers.1.mlp.up_proj"


def asked(targets: str) -> TuningArguments:
    return TuningArguments(model_reference="model", lora_target_modules=targets, lora_rank=4)


def has_adapter(targets: str) -> bool:
    return adapters.adapter_of(adapters.asked_adapter(asked(targets)), LAYER) is not None


def test_layers_are_found_by_the_ends_of_their_names() -> None:
    assert all(map(has_adapter, ("all-linear", "up_proj", "q_proj, mlp.up_proj")))
    assert not has_adapter("self_attn.up_proj, o_proj")
    with pytest.raises(UserError, match="no adapters at embed_tokens"):
        adapters.asked_adapter(asked("q_proj, embed_tokens"))


def test_first_values_are_of_seed_and_place() -> None:
    mesh = make_mesh(jax.devices(), 4, 2)
    first, second = adapters.adapter_names(f"{LAYER}.weight")
    assert first == "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight"
    values = adapters.first_values(first, (4, 32), mesh, seed=3)
    assert np.array_equal(values, initial_matrix(3, LAYER, 4, 32))
    assert not np.any(adapters.first_values(second, (48, 4), mesh, seed=3))
