from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from kfp_llm_tuning.components.tuning.arguments import TuningArguments  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine.loading import stored_tensors  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine.model import load_model  # noqa: E402
from tests.components.small_models import small_model  # noqa: E402

pytestmark = pytest.mark.tpu

TOKENS = np.random.default_rng(0).integers(1, 64, (4, 24)).astype(np.int32)
SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.mark.parametrize("tuning", ["full", "adapter"])
def test_two_processes_are_as_one(tuning: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    small_model("qwen2").save_pretrained(base, max_shard_size="20KB")
    np.save(tmp_path / "tokens.npy", TOKENS)
    (tmp_path / "tuned").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    running = [
        subprocess.Popen(
            [sys.executable, SCRIPT, address, str(number), tuning, tmp_path],
            env=os.environ | flags,
        )
        for number in range(2)
    ]
    assert [process.wait(timeout=240) for process in running] == [0, 0]
    asked = TuningArguments(model_reference="model", tuning=tuning, lora_rank=4, batch_size=4)
    alone = load_model(base, asked, bf16=False, devices=jax.devices()[:1])
    expected = jax.jit(alone.hidden)(alone.trained, alone.frozen, TOKENS)
    np.testing.assert_allclose(np.load(tmp_path / "hidden.npy"), expected, rtol=0, atol=1e-5)
    # Nothing was trained: adapters add nothing.
    before, after = stored_tensors(base), stored_tensors(tmp_path / "tuned")
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[name].mapped(), before[name].mapped()) for name in before)
