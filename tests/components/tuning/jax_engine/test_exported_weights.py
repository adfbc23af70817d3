"""What the JAX engine writes, read by transformers and PEFT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

jax = pytest.importorskip("jax")

import torch  # noqa: E402
from peft import PeftModel  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from kfp_llm_tuning.components.common.errors import UserError  # noqa: E402
from kfp_llm_tuning.components.tuning import weight_files  # noqa: E402
from kfp_llm_tuning.components.tuning.arguments import TuningArguments  # noqa: E402
from kfp_llm_tuning.components.tuning.export import ADAPTER  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine import model as models  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine.families import FAMILIES  # noqa: E402
from kfp_llm_tuning.components.tuning.jax_engine.loading import stored_tensors  # noqa: E402
from tests.components.small_models import small_model  # noqa: E402

pytestmark = pytest.mark.tpu

TOKENS = np.random.default_rng(0).integers(1, 64, (4, 24)).astype(np.int32)


def loaded(kind: str, tuning: str, folder: Path, dtype: Any = torch.float32) -> models.JaxModel:
    small_model(kind).to(dtype).save_pretrained(folder)
    asked = TuningArguments(model_reference="model", tuning=tuning, lora_rank=4, batch_size=4)
    return models.load_model(folder, asked, bf16=False)


def moved(model: models.JaxModel) -> dict[str, Any]:
    """Other values of what is trained, as if it had been."""
    generator = np.random.default_rng(1)
    return {
        name: array + generator.normal(0, 0.1, array.shape).astype(np.float32)
        for name, array in sorted(model.trained.items())
    }


def own_logits(model: models.JaxModel, trained: dict[str, Any]) -> NDArray[np.float32]:
    hidden = jax.jit(model.hidden)(trained, model.frozen, TOKENS)
    logits = model.logits(trained, model.frozen, hidden.reshape(-1, hidden.shape[-1]))
    return np.asarray(logits).reshape(*TOKENS.shape, -1)


def read_logits(model: Any) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = model.eval()(torch.tensor(TOKENS)).logits.numpy()
    return logits


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tuning", ["full", "adapter"])
def test_transformers_reads_the_same_model(
    family: str, tuning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_files, "MOST_FILE_BYTES", 20_000)
    base, folder = tmp_path / "base", tmp_path / "tuned"
    model = loaded(family, tuning, base)
    trained = moved(model)
    folder.mkdir()
    models.write_model(model, trained, base, folder)
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    expected = own_logits(model, trained)
    read = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    np.testing.assert_allclose(read_logits(read), expected, rtol=0, atol=1e-5)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float32"
    if tuning == "adapter":
        whole = AutoModelForCausalLM.from_pretrained(base)
        beside = PeftModel.from_pretrained(whole, folder / ADAPTER)
        np.testing.assert_allclose(read_logits(beside), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tuning", ["full", "adapter"])
def test_the_type_of_the_weights_is_kept(tuning: str, tmp_path: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "tuned"
    model = loaded("qwen2", tuning, base, torch.bfloat16)
    folder.mkdir()
    models.write_model(model, model.trained, base, folder)
    before = AutoModelForCausalLM.from_pretrained(base, dtype="auto").state_dict()
    after = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert {one.dtype for one in after.values()} == {torch.bfloat16}


def test_weights_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    model = loaded("llama", "adapter", tmp_path / "base")
    broken = {name: array + np.inf for name, array in model.trained.items()}
    (tmp_path / "tuned").mkdir()
    with pytest.raises(UserError, match="is not finite"):
        models.write_model(model, broken, tmp_path / "base", tmp_path / "tuned")


@pytest.mark.parametrize("shard_size", ["1GB", "20KB"])
def test_other_copies_of_the_weights_are_not_read(tmp_path: Path, shard_size: str) -> None:
    small_model("llama").save_pretrained(tmp_path, max_shard_size=shard_size)
    before = stored_tensors(tmp_path)
    names = {path.name for path in tmp_path.glob("*.safetensors")}
    assert (len(names) > 1) == (shard_size == "20KB")
    # As Mistral and Llama publish theirs beside transformers' files.
    save_file({"tok_embeddings.weight": np.zeros(3)}, tmp_path / "consolidated.safetensors")
    assert stored_tensors(tmp_path) == before
